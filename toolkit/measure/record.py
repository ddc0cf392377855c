"""`RunRecord`: one variant on one device in one session, as a line of JSON with its raw samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from ...devices.device import Facts, Transport
from .check import OutputCheck
from .json_lines import Kind, read_lines, write_lines

SCHEMA = 1


@dataclass(frozen=True)
class Settings:
    """How a session was timed; `cpus` empty means that no thread is pinned."""

    warmup: int = 3
    rounds: int = 10
    round_ms: int = 100
    min_samples: int = 3
    profile: int = 10
    cpus: tuple[int, ...] = ()
    counters: bool = False
    seed: int = 0


@dataclass(frozen=True)
class DeviceId:
    """Which entry of the inventory ran."""

    name: str
    transport: Transport
    target: str
    emulated: bool


@dataclass(frozen=True)
class HostState:
    """What the runner saw of its machine; None where the machine does not tell."""

    arch: str
    cpu: str | None
    n_cpus: int | None
    governor: str | None
    freq_khz: int | None
    temp_mc: int | None
    throttled: str | None
    load1: float | None


@dataclass(frozen=True)
class KernelRow:
    """One step of the model, in order; `flops` and `bytes` are per inference."""

    name: str
    label: str
    ops: tuple[str, ...]
    flops: int
    bytes: int
    schedule: str


@dataclass(frozen=True)
class Failure:
    """Why there is no number: `check`, `isa`, `lost`, `crash`, or a kind of DeviceError."""

    kind: str
    message: str


@dataclass(frozen=True)
class RunRecord:
    """Raw nanoseconds by round, with everything needed to judge them.

    Samples exist only where every output was right and the device is a real one: the constructor refuses others.
    Records of one `session` were interleaved in one process, and only those may be compared.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    session: str
    created: str
    model: str
    model_sha256: str
    bundle: str
    compiler: str
    target: str
    fusion: str
    bands: bool
    threads: int
    device: DeviceId
    settings: Settings
    reference: str
    kernels: tuple[KernelRow, ...]
    arena_bytes: int
    weights_bytes: int
    scratch_bytes: int
    code_bytes: int
    checks: tuple[OutputCheck, ...] = ()
    error: Failure | None = None
    facts: Facts | None = None
    host_before: HostState | None = None
    host_after: HostState | None = None
    load_ns: int | None = None
    first_run_ns: int | None = None
    samples_ns: tuple[tuple[int, ...], ...] | None = None
    steps_ns: tuple[tuple[int, ...], ...] | None = None
    counters: dict[str, int] | None = None
    counters_reason: str | None = None
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        timed = [self.samples_ns, self.steps_ns, self.counters, self.load_ns, self.first_run_ns]
        if any(part is not None for part in timed):
            if self.device.emulated:
                raise ValueError("times under emulation are no times")
            if self.error is not None or not self.verified:
                raise ValueError("no check, no number")

    @property
    def verified(self) -> bool:
        """Whether every output was compared and found right."""
        return bool(self.checks) and all(check.ok for check in self.checks)


@cache
def _kind() -> Kind[RunRecord]:
    return Kind(TypeAdapter(RunRecord), SCHEMA, "run record", "fusekit bench", "MODEL --device local")


def write_records(path: Path, records: Iterable[RunRecord]) -> None:
    """Writes JSON lines to `path`, whole or not at all; raises UserError where it cannot be written."""
    write_lines(path, records, _kind())


def read_records(paths: Sequence[Path]) -> list[RunRecord]:
    """Records of all files, in order; a folder stands for the `*.jsonl` in it.

    Raises UserError for a file that is absent, empty, of another schema or not made of records.
    """
    return read_lines(paths, _kind())
