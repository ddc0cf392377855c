"""The hosts of an Ansible inventory: INI, YAML, or what `ansible-inventory --list` prints.

Variables of a host come from its groups, the general ones first, and then from itself. Files beside the inventory
(`group_vars/`) and templates are Ansible's own: what it makes of them, `ansible-inventory --list` prints.
"""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..errors import UserError
from .imported_host import Imported, ImportedHost, device_name, with_jumps

_SECTION = re.compile(r"\[([^\]:]+)(?::(vars|children))?\]")
_RANGE = re.compile(r"\[(\w+):(\w+)(?::(\d+))?\]")
_OVER_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh")
_TO_ALL = ("all", "ungrouped")
_MAX_HOSTS = 10_000


@dataclass
class _Group:
    """One group while the file is read: variables by host, its own variables, the names of its subgroups."""

    hosts: dict[str, dict[str, object]] = field(default_factory=dict)
    variables: dict[str, object] = field(default_factory=dict)
    children: set[str] = field(default_factory=set)


class _Groups(dict[str, _Group]):
    def __missing__(self, name: str) -> _Group:
        self[name] = _Group()
        return self[name]


def read_ansible_inventory(path: Path) -> Imported:
    """Return the hosts of an inventory that are reached over SSH; their groups become tags."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the Ansible inventory {path} cannot be read: {error}") from error
    is_yaml = path.suffix in (".yml", ".yaml", ".json") or text.lstrip().startswith(("{", "---", "all:"))
    groups = _from_yaml(text, path) if is_yaml else _from_ini(text, path)
    hosts, routes, left_out = [], {}, []
    for name in dict.fromkeys(host for group in groups.values() for host in group.hosts):
        above = _groups_of(name, groups)
        variables = _variables(name, above, groups)
        host = _host(name, variables, [group for group in above if group not in _TO_ALL], path.parent)
        if isinstance(host, str):
            left_out.append(host)
            continue
        hosts.append(host)
        route = _route(variables)
        if route is not None:
            routes[host.name] = route
    return Imported(with_jumps(hosts, routes, getpass.getuser()), tuple(left_out))


def _from_ini(text: str, path: Path) -> _Groups:
    groups, section, kind = _Groups(), "ungrouped", None
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line[0] in "#;":
            continue
        header = _SECTION.fullmatch(line)
        if header:
            section, kind = header[1], header[2]
            continue
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: this is no line of an Ansible inventory: {error}"
            ) from error
        if kind == "children":
            groups[section].children.add(words[0])
        elif kind == "vars":
            name, _, value = line.partition("=")
            groups[section].variables[name.strip()] = value.strip().strip("\"'")
        else:
            variables: dict[str, object] = dict(word.partition("=")[::2] for word in words[1:])
            for host in _expanded(words[0], path):
                _add_host(groups[section], host, variables)
    return groups


def _from_yaml(text: str, path: Path) -> _Groups:
    try:
        top = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no Ansible inventory: {' '.join(str(error).split())}") from error
    if not isinstance(top, dict):
        raise UserError(f"{path} is no Ansible inventory: it holds no groups")
    groups = _Groups()
    meta = _mapping(_mapping(top.pop("_meta", None)).get("hostvars"))
    for name, value in top.items():
        _add_group(groups, str(name), value, path)
    for host, variables in meta.items():
        _add_host(groups["all"], host, _mapping(variables))
    return groups


def _add_group(groups: _Groups, name: str, value: object, path: Path) -> None:
    group, given = groups[name], _mapping(value)
    group.variables |= _mapping(given.get("vars"))
    for pattern, variables in _mapping(given.get("hosts")).items():
        for host in _expanded(pattern, path):
            _add_host(group, host, _mapping(variables))
    for child, below in _mapping(given.get("children")).items():
        group.children.add(child)
        _add_group(groups, child, below, path)


def _add_host(group: _Group, name: str, variables: Mapping[str, object]) -> None:
    group.hosts[name] = {**group.hosts.get(name, {}), **variables}


def _mapping(value: object) -> dict[str, object]:
    """A mapping, or a list of names as `ansible-inventory --list` has them."""
    if isinstance(value, dict):
        return {str(key): inner for key, inner in value.items()}
    return dict.fromkeys(map(str, value)) if isinstance(value, list) else {}


def _expanded(pattern: str, path: Path) -> Iterator[str]:
    """The hosts of a pattern like rack[01:12].example.org or db-[a:c].

    >>> list(_expanded("pi[08:10]", Path("hosts")))
    ['pi08', 'pi09', 'pi10']
    """
    match = _RANGE.search(pattern)
    if match is None:
        yield pattern
        return
    first, last, step = match[1], match[2], int(match[3] or 1)
    numeric = first.isdecimal() and last.isdecimal()
    ends = (int(first), int(last)) if numeric else (ord(first[0]), ord(last[0]))
    if step < 1 or not 0 <= ends[1] - ends[0] <= _MAX_HOSTS:
        raise UserError(f"{path}: the range {match[0]} means no hosts, or more than {_MAX_HOSTS}")
    for value in range(ends[0], ends[1] + 1, step):
        text = str(value).zfill(len(first)) if numeric else chr(value)
        yield from _expanded(pattern[: match.start()] + text + pattern[match.end() :], path)


def _groups_of(host: str, groups: Mapping[str, _Group]) -> list[str]:
    """The groups that a host is in, the general ones before the special ones."""
    found = [name for name, group in groups.items() if host in group.hosts]
    for name in found:  # grows while it is read
        found += [above for above, group in groups.items() if name in group.children and above not in found]
    depths = {name: len(_above(name, groups)) for name in [*found, "all"]}
    return sorted(depths, key=lambda name: (name != "all", depths[name]))


def _above(group: str, groups: Mapping[str, _Group]) -> set[str]:
    found = [group]
    for name in found:
        found += [above for above, other in groups.items() if name in other.children and above not in found]
    return set(found)


def _variables(host: str, above: Iterable[str], groups: Mapping[str, _Group]) -> dict[str, object]:
    members = [groups[name] for name in above if name in groups]
    merged: dict[str, object] = {}
    for group in members:
        merged |= group.variables
    for group in members:
        merged |= group.hosts.get(host, {})
    return merged


def _host(
    name: str, variables: Mapping[str, object], groups: Iterable[str], folder: Path
) -> ImportedHost | str:
    """The host, or a sentence why it is left out."""

    def first(*keys: str) -> str | None:
        value = next((variables[key] for key in keys if variables.get(key) is not None), None)
        return None if value is None else str(value)

    connection = first("ansible_connection") or "ssh"
    plain = device_name(name)
    host, port = first("ansible_host", "ansible_ssh_host"), first("ansible_port", "ansible_ssh_port")
    if host is None and re.fullmatch(r"[^:]+:\d+", name):
        host, _, port = name.partition(":")
        plain = device_name(host)
    user = first("ansible_user", "ansible_ssh_user") or getpass.getuser()
    key = first("ansible_ssh_private_key_file", "ansible_private_key_file")
    texts = (host or "", port or "", user, key or "")
    if connection not in _OVER_SSH:
        return f"{name} is reached by {connection}, not by ssh, and is left out"
    if plain is None:
        return f"{name} is no name for a device and is left out"
    if any("{{" in text for text in texts):
        return (
            f"{name} has templates that only Ansible fills in: import what `ansible-inventory --list` prints"
        )
    if port is not None and not port.isdecimal():
        return f"{name} has the port {port!r}, which is no number, and is left out"
    has_password = first("ansible_password", "ansible_ssh_pass") is not None
    return ImportedHost(
        name=plain,
        host=host or name,
        user=user,
        port=int(port or 22),
        key=None if key is None else key if key.startswith("~") else str(folder.absolute() / key),
        password="prompt" if has_password else None,
        tags=tuple(tag for tag in map(device_name, groups) if tag is not None),
        remarks=("its password is not copied: it is asked for",) if has_password else (),
    )


def _route(variables: Mapping[str, object]) -> str | None:
    """The ProxyJump among the arguments that Ansible gives to ssh."""
    for key in ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args"):
        found = re.search(r"-J\s*([^\s\"']+)|ProxyJump[=\s]\s*([^\s\"']+)", str(variables.get(key) or ""))
        if found:
            return found[1] or found[2]
    return None


class _Loader(yaml.SafeLoader):
    """Reads encrypted values as absent: fusekit needs none of them."""


_Loader.add_constructor("!vault", lambda loader, node: None)
_Loader.add_constructor("!unsafe", lambda loader, node: str(node.value))
