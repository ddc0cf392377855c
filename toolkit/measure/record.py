"""`RunRecord`: one variant on one device in one session, as a line of JSON with its raw samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ...cache import store
from ...devices.device import Facts, Transport
from ...errors import UserError
from ..writing import writing
from .check import OutputCheck

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
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)


def write_records(path: Path, records: Iterable[RunRecord]) -> None:
    """Writes JSON lines to `path`, whole or not at all; raises UserError where it cannot be written."""
    with writing(path):
        store(path, b"".join(_adapter().dump_json(record) + b"\n" for record in records))


def read_records(paths: Sequence[Path]) -> list[RunRecord]:
    """Records of all files, in order; a folder stands for the `*.jsonl` in it.

    Raises UserError for a file that is absent, empty, of another schema or not made of records.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    records = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read records from {file}: {_reason(error)}") from error
        for number, line in enumerate(lines, 1):
            try:
                records.append(_adapter().validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"]) or "the line"
                raise UserError(
                    f"{file}:{number} is no run record of schema {SCHEMA} ({where}: {first['msg']}): "
                    f"make one with fusekit bench"
                ) from error
            if records[-1].schema != SCHEMA:
                raise UserError(
                    f"{file}:{number} has schema {records[-1].schema} where this fusekit reads {SCHEMA}: "
                    f"run fusekit bench again"
                )
    if not records:
        given = ", ".join(str(path) for path in paths) or "nothing"
        raise UserError(f"no records in {given}: make some with fusekit bench MODEL --device local")
    return records


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"
