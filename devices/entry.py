"""What the inventory says about one device: how it is reached, how to log in, what code is compiled for it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .device import DeviceError

UNKNOWN_TARGET = "unknown"
"""The target of a device that nobody has probed yet."""
NO_TARGET = "none"
"""The target of a machine that others are reached through and on which nothing runs."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What devices, groups and tags may be called: safe in a shell, in a path and on a terminal."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class _Entry(BaseModel):
    # The strings below the keys are what an editor shows: `fusekit devices schema`.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str
    tags: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    """Words to select it by, `--device tag:WORD`."""
    group: str | None = None
    """The group whose settings it has, one of `groups`; `--device group:NAME` selects them all."""


class LocalEntry(_Entry):
    """This machine."""

    transport: Literal["local"]
    target: str = "host"
    """The compiler's target; `host` is what this machine is."""


class EmulatedEntry(_Entry):
    """An aarch64 board under qemu-aarch64 on this machine."""

    transport: Literal["emulated"]
    target: str
    """The compiler's target; it names the CPU that is emulated."""


class PasswordVariable(BaseModel):
    """A password that is in an environment variable when it is needed, and nowhere else."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class SshEntry(_Entry):
    """A board that is reached over SSH."""

    transport: Literal["ssh"]
    host: Annotated[str, Field(min_length=1)]
    """Its name or address in the network."""
    user: Annotated[str, Field(min_length=1)]
    """The login name there; nothing needs root."""
    target: str
    """The compiler's target; `unknown` until it was probed, `none` for a machine that others are reached through."""
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    """The port of its SSH server."""
    jump: str | None = None
    """The name of the ssh device through which this one is reached."""
    key: str | None = None
    """Path of the private key; without it the keys of ~/.ssh and of the agent are tried, as `ssh` does."""
    agent: bool | None = None
    """Whether to ask ssh-agent; by default only when `key` is not given."""
    password: Literal["prompt"] | PasswordVariable | None = None
    """Where the password comes from, never the password: the terminal or `{env: NAME}`."""
    known_hosts: str | None = None
    """Path of the file with the recorded host keys; by default fusekit's own."""
    workdir: Annotated[str, Field(pattern=r"^(~/|/)[^/\n]+(/[^/\n]+)*$")] = "~/.cache/fusekit"
    """The one folder on the device that fusekit writes to."""
    connect_timeout_s: Annotated[float, Field(gt=0, le=120, strict=False)] = 10.0
    """Seconds to wait for an answer."""
    emulated: bool = False
    """True for a board that is itself an emulator: its answers are checked, its times never shown."""
    via: SshEntry | None = None
    """The device that `jump` names; no key of the file."""

    def read_password(self) -> str | None:
        """Return the password now, None where the entry gives no way to one; it is kept in no entry or record.

        A person is asked once for each device in a process. Raises kind "auth" where nobody can be asked or the
        variable is not set.
        """
        match self.password:
            case None:
                return None
            case "prompt":
                return _ask(self.name, f"password of {self.user}@{self.host} ({self.name}): ")
            case PasswordVariable(env=variable):
                if os.environ.get(variable):
                    return os.environ[variable]
                raise DeviceError(
                    "auth",
                    f"the password of {self.name} comes from the environment variable {variable}, which is not set: "
                    f"type `read -rs {variable} && export {variable}` first",
                )


DeviceEntry = LocalEntry | EmulatedEntry | SshEntry

_asking = Lock()


def ask_for_passwords(entries: Iterable[DeviceEntry]) -> None:
    """Ask now for what these devices and those on the way to them prompt for; later reads get the same answers.

    For before work that takes long, several threads or a progress display share the terminal.
    """
    for entry in entries:
        link = entry if isinstance(entry, SshEntry) else None
        while link is not None:
            if link.password == "prompt":
                link.read_password()
            link = link.via


def _ask(name: str, prompt: str) -> str:
    with _asking:
        return ask_once(name, prompt)


@cache
def ask_once(name: str, prompt: str) -> str:
    """Ask for a password at the terminal; the second time, the same answer."""
    if not has_terminal():
        raise DeviceError(
            "auth",
            f"{name} has `password: prompt` and there is no terminal to ask on: give `password: {{env: NAME}}` in the "
            "inventory, or a `key`",
        )
    return getpass.getpass(prompt)


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    try:
        Path("/dev/tty").open("r+b", buffering=0).close()
    except OSError:
        return False
    return True
