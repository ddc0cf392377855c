"""Schedule tables for tests: the signatures of a graph, and random legal choices for them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fusekit.compiler.choice import (
    MOST_COLUMNS,
    MOST_ROWS,
    MOST_UNROLL,
    MOST_VECTORS,
    Choice,
    Signature,
    obstacle,
)
from fusekit.compiler.compile import Stages
from fusekit.compiler.schedule_table import Entry, ScheduleTable
from fusekit.compiler.target import Machine, Target


def signatures(stages: Stages) -> list[Signature]:
    """All that leave something to choose, each once."""
    found = [group.signature for group in stages.fused.groups]
    found += [place.signature for item in stages.lowered for place in item.kernel.schedule.places]
    return list(dict.fromkeys(signature for signature in found if signature is not None))


def table(target: Target, choices: Iterable[tuple[Signature, Choice]]) -> ScheduleTable:
    """A table with these choices."""
    return ScheduleTable(target.cpu, {k: Entry(choice, 1.1, "a CPU", "a model") for k, choice in choices})


def random_choice(signature: Signature, machine: Machine, random: np.random.Generator) -> Choice:
    """Any legal choice, most of which nobody would make."""
    while True:
        choice = Choice(
            mr=int(random.integers(1, MOST_COLUMNS + 1)),
            nv=int(random.integers(1, MOST_VECTORS + 1)),
            unroll=int(random.integers(1, MOST_UNROLL + 1)),
            tiles=int(random.integers(0, max(1, signature.rows) + 1)),
            row_epilogue=bool(random.integers(2)),
            dot=bool(random.integers(2)),
            winograd=bool(random.integers(2)),
            rows=int(random.integers(1, MOST_ROWS + 1)),
            half=machine.halves and bool(random.integers(2)),
        )
        plain = {
            "contraction": Choice(
                choice.mr,
                choice.nv,
                choice.unroll,
                choice.tiles,
                choice.row_epilogue,
                choice.dot,
                half=choice.half,
            ),
            "winograd": Choice(winograd=choice.winograd),
            "pointwise": Choice(nv=choice.nv),
        }.get(signature.tunable, Choice(choice.mr, choice.nv, rows=choice.rows))
        if not obstacle(plain, signature, machine):
            return plain
