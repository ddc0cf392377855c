"""What every device can do, whichever way it is reached: put files there, run a program, get a file, clean up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

from ..errors import UserError
from .printable import printable

Transport = Literal["local", "ssh", "emulated"]

Kind = Literal[
    "unreachable",  # no connection: name, route, port
    "host_key",  # the device's key is unknown or has changed
    "auth",  # the device refuses the user's key
    "timeout",  # the program ran past its limit
    "lost",  # the connection ended or stalled in the middle
    "disk_full",
    "read_only",  # the work folder cannot be written
    "missing_tool",  # a command that fusekit needs is absent, here or there
    "missing_file",
    "too_large",  # more bytes than the caller's limit
    "corrupt",  # what arrived is not what was sent
    "isa",  # the program is for another architecture or CPU
    "crash",  # the program died of a signal
    "busy",  # somebody else holds the device's lock
    "failed",  # anything else that the device answered with an error
]


# A session's raw samples are a few megabytes.
OUTPUT_BYTES = 1 << 26
"""What a program may write at most before it is ended."""


@dataclass(frozen=True)
class Completed:
    """A program that ended by itself; `exit_code` is 0 to 127, a signal is a `DeviceError` instead."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class DeviceError(UserError):
    """A device said no: `kind` for programs, the text for people, safe to print whatever the device put into it.

    `completed` holds what the program had written before it died (exit code 128 + signal), where there was one.
    `passing` is set where nothing was done and the same may work a moment later.
    """

    def __init__(
        self, kind: Kind, message: str, *, completed: Completed | None = None, passing: bool = False
    ) -> None:
        super().__init__(printable(message))
        self.kind: Kind = kind
        self.completed = completed
        self.passing = passing


@dataclass(frozen=True)
class Cache:
    """One cache of a CPU: "L1d", "L2", "L3"."""

    name: str
    size_bytes: int


@dataclass(frozen=True)
class Facts:
    """What a device is and the state it is in; None or empty where the device does not say."""

    arch: str
    """As `uname -m` says: aarch64, x86_64."""
    model: str
    """The board ("Raspberry Pi 5 Model B Rev 1.0") or, where it has no name, the CPU's model name."""
    os: str
    kernel: str
    n_cpus: int
    cpu_parts: tuple[str, ...]
    """The distinct "CPU part" numbers (0xd0b is Cortex-A76) in order; on x86-64 vendor and family, as in AuthenticAMD-25."""
    features: tuple[str, ...]
    """CPU features that all cores share, sorted, named as in /proc/cpuinfo."""
    memory_bytes: int | None
    governor: str | None
    freq_khz: int | None
    max_freq_khz: int | None
    temperature_mc: int | None
    """Of the first thermal zone, in thousandths of a degree Celsius."""
    throttled: str | None
    """The Raspberry Pi firmware's throttle bits, hexadecimal: "0" is none since boot."""
    load1: float | None
    governors: tuple[str, ...] = ()
    """The distinct governors of all CPUs; `governor` is CPU 0's."""
    caches: tuple[Cache, ...] = ()
    """Those of CPU 0 that hold data, nearest first."""
    available_bytes: int | None = None
    """Memory that a program could still have."""
    swap_used_bytes: int | None = None
    disk_free_bytes: int | None = None
    """Where fusekit's folder is, or would be."""
    userland_bits: int | None = None
    """32 where the system's own programs are 32-bit ones, whatever the kernel is."""
    perf_event_paranoid: int | None = None
    """The kernel's limit on performance counters: up to 2, a program may count its own work."""


@dataclass(frozen=True)
class Lock:
    """Who has a device for themselves: since how many seconds, and for how many more at most."""

    owner: str
    held_s: float
    left_s: float


class Device(Protocol):
    """A place where programs run. Every method may raise `DeviceError`; each ends within bounded time."""

    @property
    def name(self) -> str: ...

    @property
    def transport(self) -> Transport: ...

    @property
    def target(self) -> str:
        """The name of the fusekit target that code for this device is compiled for, "rpi5" or "host"."""
        ...

    @property
    def emulated(self) -> bool:
        """Whether programs run under an emulator there: answers count, times mean nothing."""
        ...

    def put(self, files: Mapping[str, bytes]) -> str:
        """Put files into one folder named for their content and return its absolute path on the device.

        Keys are plain file names. The folder appears whole or not at all, with every file's SHA-256 verified on the
        device; what is there already is not sent again. A file called "runner" is executable.
        """
        ...

    def run(self, argv: Sequence[str], *, cwd: str, timeout_s: float) -> Completed:
        """Run a program in `cwd`, end it on the device after `timeout_s` seconds, and return what it wrote.

        `argv[0]` is "./NAME" for a program of `cwd`. A run past its limit raises kind "timeout", a death by signal
        kind "crash", more than OUTPUT_BYTES of output "too_large". It is never run a second time by itself.
        """
        ...

    def get(self, path: str, limit_bytes: int) -> bytes:
        """Return the bytes of one file; kind "missing_file" where there is none, "too_large" past the limit."""
        ...

    def probe(self) -> Facts: ...

    def lock(self, owner: str, *, for_s: float, wait_s: float = 0) -> AbstractContextManager[None]:
        """Have the device for oneself inside the `with`; kind "busy" where another still has it after `wait_s` seconds.

        The lock ends by itself after `for_s` seconds of the device's own time. `owner` is for people: see
        `client.signature`. It is not reentrant.
        """
        ...

    def locked(self) -> Lock | None:
        """Return the lock that holds now."""
        ...

    def unlock(self) -> Lock | None:
        """Remove the lock whoever holds it, and return it if it held."""
        ...

    def clean(self) -> int:
        """Remove everything that `put` ever left there and return the number of files removed.

        Kind "busy" while another holds the lock.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
