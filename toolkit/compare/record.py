"""`EngineRecord`: one engine on one model in one session, as a line of JSON with its raw samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from ...devices.device import Facts
from ..measure.check import OutputCheck
from ..measure.json_lines import Kind, read_lines, write_lines
from ..measure.record import DeviceId, Failure

SCHEMA = 1


@dataclass(frozen=True)
class Rules:
    """On what terms the engines of a session ran."""

    threads: int = 1
    cpus: tuple[int, ...] = ()
    """What every engine's threads were pinned to."""
    rounds: int = 10
    turn_ms: int = 150
    seed: int = 0
    precision: str = "float32"
    denormals: str = "flushed to zero"


@dataclass(frozen=True)
class EngineRecord:
    """Raw nanoseconds by round; none where an output was wrong or the engine took no part.

    Records of one `session` took turns, and only those may be compared.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    session: str
    created: str
    model: str
    model_sha256: str
    engine: str
    version: str
    """Packages and their versions; empty where the engine did not come to say."""
    fusekit: str
    rules: Rules
    reference: str
    facts: Facts
    """Of the machine, before the session."""
    checks: tuple[OutputCheck, ...] = ()
    error: Failure | None = None
    first_output_ns: int | None = None
    """From the model's file to the first output, converters included, imports not."""
    samples_ns: tuple[tuple[int, ...], ...] | None = None
    device: DeviceId | None = None
    """The entry of the inventory that the engines ran on; None for this machine without one."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if self.device is not None and self.device.emulated and self.samples_ns is not None:
            raise ValueError("times under emulation are no times")
        right = bool(self.checks) and all(check.ok for check in self.checks)
        if self.samples_ns is not None and (self.error is not None or not right):
            raise ValueError("no check, no number")


@cache
def _kind() -> Kind[EngineRecord]:
    return Kind(TypeAdapter(EngineRecord), SCHEMA, "engine record", "fusekit compare", "MODEL")


def write_engine_records(path: Path, records: Iterable[EngineRecord]) -> None:
    """Writes JSON lines, whole or not at all; raises UserError where it cannot be written."""
    write_lines(path, records, _kind())


def read_engine_records(paths: Sequence[Path]) -> list[EngineRecord]:
    """Records of all files, in order; raises UserError as `read_lines` does."""
    return read_lines(paths, _kind())


def line_of(record: EngineRecord) -> str:
    """The record as one line."""
    return _kind().adapter.dump_json(record).decode()
