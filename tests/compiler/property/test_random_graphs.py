"""Random elementwise graphs around every anchor: ONNX Runtime = graph = groups = kernels = machine code.

FUSEKIT_EXAMPLES sets how many graphs are tried for each anchor, FUSEKIT_SEED chooses others.
"""

from __future__ import annotations

import pytest
from hypothesis import given, note, seed
from hypothesis import strategies as st

from .anchors import ANCHORS
from .check import Setting, check
from .elementwise import Grower
from .net import Case, Net
from .settings import AGAIN, EXAMPLES, SEED, compiled_settings, tried


@st.composite
def cases(draw: st.DrawFn, anchor: str) -> Case:
    """A graph with one anchor, or none, and random nodes before and after it."""
    grow = Grower(Net(draw(st.integers(0, 999))), draw)
    value = ANCHORS[anchor](grow)
    grow.live.append(value)
    if grow.chance(5):
        grow.net.output(value)
    value = grow.grow(value, 5)
    if not grow.net.nodes:
        value = grow.net.node("Relu", [value], grow.net.shape(value), grow.net.known[value])
    return grow.net.case()


@pytest.mark.parametrize("anchor", ANCHORS)
def test_every_stage_agrees_around(anchor: str) -> None:
    @seed(SEED)
    @tried(EXAMPLES)
    @given(case=cases(anchor), options=compiled_settings())
    def agree(case: Case, options: tuple[Setting, ...]) -> None:
        note(f"{AGAIN}\n{case}")
        check(case, *options)

    agree()
