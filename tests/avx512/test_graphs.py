"""Graphs of the property tests as AVX-512 code: those that were once compiled wrongly, and random ones around every anchor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fusekit.compiler.fusion import LEVELS, Level
from fusekit.compiler.target import TARGETS

from ..compiler.property.anchors import ANCHORS
from ..compiler.property.net import Case, Net
from ..compiler.property.onnx_model import reference
from ..compiler.property.test_random_graphs import cases
from ..compiler.property.test_regressions import GRAPHS
from .graph_bundle import TARGET, graph_bundle
from .guest import boot
from .image import Job

EXAMPLES = int(os.environ.get("FUSEKIT_EXAMPLES", "20")) // 5
VARIANTS: tuple[tuple[Level, int], ...] = (*((level, 1) for level in LEVELS), ("full", 2))


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles and bands as small as the graphs are."""
    row = TARGETS[TARGET]
    monkeypatch.setitem(TARGETS, TARGET, replace(row, machine=replace(row.machine, l2_bytes=512)))


def assert_right(cases: Sequence[Case], variants: Sequence[tuple[Level, int]], folder: Path) -> None:
    """Every case in every variant computes what ONNX Runtime does."""
    tried = [(case, level, threads) for case in cases for level, threads in variants]
    guest = boot([Job(graph_bundle(case.graph, level, n), case.feeds) for case, level, n in tried], folder)
    for (case, level, threads), got in zip(tried, guest.outputs, strict=True):
        for name, want in reference(case.graph, case.feeds).items():
            difference = np.abs(got[name].astype(np.float64) - want.astype(np.float64))
            wrong = ~(difference <= case.tolerances[name])
            assert not wrong.any(), f"{level}, {threads} threads: {name} is off by {difference.max()}\n{case}"


@pytest.mark.usefixtures("small_cache")
def test_graphs_that_were_once_wrong_are_right(tmp_path: Path) -> None:
    nets = []
    for build in GRAPHS.values():
        nets.append(Net(0))
        build(nets[-1])
    assert_right([net.case() for net in nets], VARIANTS, tmp_path)


@pytest.mark.usefixtures("small_cache")
def test_random_graphs_are_right(tmp_path: Path) -> None:
    found = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @given(st.data())
    def collect(data: st.DataObject) -> None:
        for anchor in ANCHORS:
            case = data.draw(cases(anchor))
            found.append(replace(case, graph=replace(case.graph, name=anchor)))

    collect()
    assert_right(found, [("full", 2), ("none", 1)], tmp_path)
