"""Random elementwise graphs around every anchor: ONNX Runtime = graph = groups = kernels = machine code.

FUSEKIT_EXAMPLES sets how many graphs are tried for each anchor.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from fusekit.compiler.fusion import LEVELS

from .anchors import ANCHORS
from .check import Setting, check, runnable
from .elementwise import Grower
from .net import Case, Net

EXAMPLES = int(os.environ.get("FUSEKIT_EXAMPLES", "20"))
CACHES = (0, 512, 256, 4096, 512, 1024)
TARGETS = tuple(name for name in runnable()) or ("x86-64-v3",)


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


@st.composite
def compiled_settings(draw: st.DrawFn) -> tuple[Setting, ...]:
    """Every level for the interpreters, one of them at times as machine code too."""
    target = draw(st.sampled_from(TARGETS))
    threads, cache = draw(st.sampled_from((1, 2))), draw(st.sampled_from(CACHES))
    compiled = draw(st.sampled_from(("", "", "", "full", "full", "full", "basic", "none")))
    return tuple(Setting(level, target, threads, cache, level == compiled) for level in LEVELS)


@pytest.mark.parametrize("anchor", ANCHORS)
def test_every_stage_agrees_around(anchor: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(case=cases(anchor), options=compiled_settings())
    def agree(case: Case, options: tuple[Setting, ...]) -> None:
        note(str(case))
        check(case, *options)

    agree()
