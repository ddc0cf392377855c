"""The hosts of an OpenSSH client configuration, `~/.ssh/config`."""

from __future__ import annotations

import getpass
import re
import shlex
from pathlib import Path

import paramiko

from ..errors import UserError
from .imported_host import Imported, ImportedHost, device_name, with_jumps

_INCLUDE = re.compile(r"^\s*include\s*[=\s]\s*(.+)$", re.IGNORECASE)
_RUNS_A_COMMAND = re.compile(r"^\s*match[\s=].*\bexec\b.*$", re.IGNORECASE | re.MULTILINE)
_HOST = re.compile(r"^\s*host[ \t=]\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_NOBODY = "fusekit-matches-no-host"
_DEPTH = 16


def read_ssh_config(path: Path) -> Imported:
    """Return the hosts that a configuration names, with what all of its patterns say about each.

    Patterns name no host by themselves. Nothing is run: a `Match exec` section counts as one that does not match.
    """
    text = _RUNS_A_COMMAND.sub(f"Host {_NOBODY}", _with_includes(path, 0))
    try:
        config = paramiko.SSHConfig.from_text(text)
        # Not get_hostnames(), which knows no `Match`.
        named = (name for line in _HOST.findall(text) for name in shlex.split(line.lstrip("= \t")))
        names = [name for name in dict.fromkeys(named) if name != _NOBODY]
        found = {name: config.lookup(name) for name in names if not re.search(r"[*?!]", name)}
    except (paramiko.ConfigParseError, paramiko.CouldNotCanonicalize, ValueError) as error:
        raise UserError(f"{path} is no ssh configuration that can be read: {error}") from error
    hosts, routes, left_out = [], {}, []
    for name, options in found.items():
        plain = device_name(name)
        if plain is None:
            left_out.append(f"{name} is no name for a device and is left out")
            continue
        if not options.get("port", "22").isdecimal():
            left_out.append(f"{name} has the port {options['port']!r}, which is no number, and is left out")
            continue
        host = _host(plain, name, options)
        hosts.append(host)
        route = options.get("proxyjump", "none")
        if route.lower() != "none":
            routes[host.name] = route
    return Imported(with_jumps(hosts, routes, getpass.getuser()), tuple(left_out))


def _host(name: str, alias: str, options: paramiko.SSHConfigDict) -> ImportedHost:
    keys = [_from_home(key) for key in options.get("identityfile", [])]
    existing = [key for key in keys if Path(key).expanduser().exists()]
    remarks = []
    if options.get("proxycommand"):
        remarks.append("its ProxyCommand is left out: fusekit knows ProxyJump only")
    return ImportedHost(
        name=name,
        host=options.get("hostname", alias),
        user=options.get("user") or getpass.getuser(),
        port=int(options.get("port", 22)),
        key=next(iter([*existing, *keys]), None),
        remarks=tuple(remarks),
    )


def _with_includes(path: Path, depth: int) -> str:
    """The text with the files of `Include` in their places; relative ones are of ~/.ssh, as ssh takes them."""
    if depth > _DEPTH:
        raise UserError(f"{path} is included by itself: take the Include out that leads back to it")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the ssh configuration {path} cannot be read: {error}") from error
    text = []
    for line in lines:
        include = _INCLUDE.match(line)
        if include is None:
            text.append(line)
            continue
        for pattern in include[1].replace('"', "").split():
            full = Path.home() / ".ssh" / Path(pattern).expanduser()
            included = sorted(Path(full.anchor).glob(str(full.relative_to(full.anchor))))
            text += [_with_includes(file, depth + 1) for file in included]
    return "\n".join(text)


def _from_home(path: str) -> str:
    """Written with ~, so that the inventory serves others too."""
    home = f"{Path.home()}/"
    return f"~/{path.removeprefix(home)}" if path.startswith(home) else path
