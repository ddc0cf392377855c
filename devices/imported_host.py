"""Hosts that another tool knows, as lines of an inventory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import yaml

from .entry import NAME_PATTERN, NO_TARGET, UNKNOWN_TARGET
from .printable import printable

_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:/]+)(?::(?P<port>\d+))?/?")


@dataclass(frozen=True)
class ImportedHost:
    """One host: the keys of its entry, and in words what could not be carried over."""

    name: str
    host: str
    user: str
    port: int = 22
    key: str | None = None
    jump: str | None = None
    password: str | None = None
    tags: tuple[str, ...] = ()
    target: str = UNKNOWN_TARGET
    remarks: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return its lines under `devices:`, not yet indented: remarks, then the entry."""
        keys: dict[str, object] = {"host": self.host, "user": self.user}
        if self.port != 22:
            keys["port"] = self.port
        optional = {"key": self.key, "jump": self.jump, "password": self.password, "tags": list(self.tags)}
        keys |= {key: value for key, value in optional.items() if value}
        keys["target"] = self.target
        name = yaml.safe_dump({self.name: 0}).removesuffix(" 0\n")
        mapping = yaml.safe_dump(keys, default_flow_style=True, sort_keys=False, width=1 << 20)
        return [*(f"# {printable(remark)}" for remark in self.remarks), f"{name} {mapping.strip()}"]


@dataclass(frozen=True)
class Imported:
    """What a file of another tool gave: hosts in its order, and a sentence for each that was left out."""

    hosts: tuple[ImportedHost, ...]
    left_out: tuple[str, ...] = ()


def device_name(name: str) -> str | None:
    """Return a host's name as that of a device, None where nothing like it can be one.

    >>> device_name("rack1/pi:7"), device_name("*"), device_name("all")
    ('rack1-pi-7', None, None)
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    return plain if re.fullmatch(NAME_PATTERN, plain) and plain != "all" else None


def with_jumps(
    hosts: Iterable[ImportedHost], routes: Mapping[str, str], user: str
) -> tuple[ImportedHost, ...]:
    """Give hosts their `jump`, from routes by host name as ProxyJump writes them: [user@]host[:port], by comma.

    A hop that is one of the hosts stays it; others become hosts of their own, of `user` where the route names none.
    Those that others are reached through get the target "none".
    """
    found = {host.name: host for host in hosts}
    for name, route in routes.items():
        previous: str | None = None
        for hop in route.split(","):
            gate = _gate(hop.strip(), previous, found, user)
            if gate is None:
                found[name] = _remarked(found[name], f"the ProxyJump {route} is not understood and left out")
                break
            found[gate.name] = gate
            previous = gate.name
        else:
            found[name] = replace(found[name], jump=previous)
    return tuple(found.values())


def _gate(
    hop: str, previous: str | None, found: Mapping[str, ImportedHost], user: str
) -> ImportedHost | None:
    """The host that is a hop and is reached through `previous`."""
    match = _HOP.fullmatch(hop)
    name = device_name(match["host"]) if match else None
    if match is None or name is None:
        return None
    known = found.get(name)
    if known is not None and (previous is None or known.jump == previous):
        return replace(known, target=NO_TARGET)
    gate = ImportedHost(
        name=name if known is None else f"{name}-via-{previous}",
        host=match["host"].strip("[]"),
        user=match["user"] or user,
        port=int(match["port"] or 22),
        jump=previous,
        target=NO_TARGET,
    )
    return gate if known is None else replace(known, name=gate.name, jump=previous, target=NO_TARGET)


def _remarked(host: ImportedHost, remark: str) -> ImportedHost:
    return replace(host, remarks=(*host.remarks, remark))
