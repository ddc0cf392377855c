"""Bounds: which steps of an axis are inside."""

from __future__ import annotations

import numpy as np
import pytest

from fusekit.compiler.index import Axis, Bound, Index

ROW, PHASE, TAP = Axis(0, 6), Axis(1, 3), Axis(2, 5)


@pytest.mark.parametrize("factor", [1, 2, 3, -1, -2, -3])
@pytest.mark.parametrize("const", [-4, 0, 7])
@pytest.mark.parametrize(("lo", "hi"), [(0, 5), (-3, 2), (4, 4), (2, 9)])
def test_ends_are_those_of_the_steps_inside(factor: int, const: int, lo: int, hi: int) -> None:
    rest = Index.of(ROW) * 2 + (Index.of(PHASE) + 2) % 3 + const
    bound = Bound(rest + Index.of(TAP) * factor, lo, hi)
    count = 0
    for row, phase in np.ndindex(ROW.extent, PHASE.extent):
        at = {ROW.id: row, PHASE.id: phase}
        first, end = (index.evaluate(at.__getitem__) for index in bound.ends(TAP))
        inside = [t for t in range(-50, 50) if lo <= bound.index.evaluate({**at, TAP.id: t}.__getitem__) < hi]
        assert inside == [*range(first, end)]
        count += sum(t in range(TAP.extent) for t in inside)
    assert bound.share() == pytest.approx(count / (ROW.extent * PHASE.extent * TAP.extent))


def test_steps_that_a_division_hides_have_no_ends() -> None:
    with pytest.raises(AssertionError, match="no bound on the steps of a2"):
        Bound(Index.of(TAP) // 2 + Index.of(ROW), 0, 4).ends(TAP)
