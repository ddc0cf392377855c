"""`Chapter`: the records of one session, which are one model on one device, interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...compiler.fusion import LEVELS
from ..measure.record import RunRecord


@dataclass(frozen=True)
class Chapter:
    """Records of one session; at least one."""

    records: tuple[RunRecord, ...]

    @property
    def model(self) -> str:
        return self.records[0].model

    @property
    def device(self) -> str:
        return self.records[0].device.name

    @property
    def target(self) -> str:
        return self.records[0].target

    @property
    def emulated(self) -> bool:
        return self.records[0].device.emulated

    @property
    def timed(self) -> tuple[RunRecord, ...]:
        """Records with samples."""
        return tuple(record for record in self.records if record.samples_ns is not None)

    @property
    def thread_counts(self) -> tuple[int, ...]:
        return tuple(sorted({record.threads for record in self.records}))

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that are there, from none to full."""
        return tuple(level for level in LEVELS if any(record.fusion == level for record in self.records))

    def record(self, level: str, threads: int) -> RunRecord | None:
        """The record of a level at a thread count, if there is one."""
        return next((r for r in self.records if (r.fusion, r.threads) == (level, threads)), None)

    def most_fused(self) -> RunRecord:
        """The record of the highest level with the fewest threads; one with samples where there is one."""
        among = self.timed or self.records
        return min(among, key=lambda record: (-LEVELS.index(record.fusion), record.threads))


def chapters(records: Sequence[RunRecord]) -> list[Chapter]:
    """The sessions in the order of their first records."""
    by_session: dict[str, list[RunRecord]] = {}
    for record in records:
        by_session.setdefault(record.session, []).append(record)
    return [Chapter(tuple(members)) for members in by_session.values()]
