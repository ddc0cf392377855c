"""Columns that are reduced side by side, several vectors at once: every number of columns, rows and threads, and no thread without work."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.anchors.reduce import PARTIALS, TOGETHER
from fusekit.compiler.anchors.region import LINE_ELEMENTS
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.kernel import Schedule
from fusekit.compiler.target import TARGETS

from ..fusion.nets import Net
from ..property.check import runnable


def reduction(op: str, rows: int, columns: int, prologue: str = "") -> tuple[Net, Graph]:
    net = Net()
    x = net.input(rows, columns)
    if prologue:
        x = net.unary(prologue, x)
    return net, net.graph(net.unary("Relu", net.node(op, (1, columns), x, axes=(0,), keepdims=1)))


def schedule_of(graph: Graph, options: Options) -> Schedule:
    (step,) = lower_graph(graph, options).lowered
    return step.kernel.schedule


@pytest.mark.parametrize("target", runnable())
@pytest.mark.parametrize("columns", [2, 7, 8, 15, 24, 63, 64, 65, 100, 131, 200])
@pytest.mark.parametrize(("op", "prologue"), [("ReduceSum", ""), ("ReduceMax", ""), ("ReduceMean", "Exp")])
def test_every_column_is_reduced(op: str, prologue: str, columns: int, target: str) -> None:
    for rows, threads in ((1, 1), (2, 1), (5, 3), (49, 2)):
        net, graph = reduction(op, rows, columns, prologue)
        feeds, options = net.feeds(), Options(target=target, threads=threads)
        (want,) = run_graph(graph, feeds).values()
        (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
        assert (np.abs(got - want) <= 1e-5 * np.maximum(1, np.abs(want))).all()


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_is_only_read_is_reduced_by_cache_lines(target: str) -> None:
    machine = TARGETS[target].machine
    _, plain = reduction("ReduceSum", 49, 640)
    _, computed = reduction("ReduceSum", 49, 640, "Exp")
    blocks = [schedule_of(graph, Options(target=target)).places[0].block for graph in (plain, computed)]
    assert LINE_ELEMENTS <= blocks[0].nv * machine.lanes <= TOGETHER
    assert blocks[0].nv * PARTIALS <= machine.registers
    assert blocks[1].nv * PARTIALS <= machine.registers // 2


def in_parts(rows: np.ndarray) -> np.ndarray:
    """Sums of columns in float32 by four parts, every fourth row each, added up in pairs."""
    parts = [np.zeros_like(rows[0]) for _ in range(PARTIALS)]
    for number, row in enumerate(rows):
        part = number % PARTIALS if number < len(rows) // PARTIALS * PARTIALS else 0
        parts[part] = parts[part] + row
    total: np.ndarray = (parts[0] + parts[1]) + (parts[2] + parts[3])
    return total


@pytest.mark.parametrize("target", runnable())
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_column_is_added_up_alike_wherever_it_is_and_however_many_threads_share(
    threads: int, target: str
) -> None:
    _, graph = reduction("ReduceSum", 1003, 131)
    options = Options(target=target, threads=threads)
    model = fusekit.load(assemble_bundle(lower_graph(graph, options), options, ""))
    for value in (
        np.full((1003, 131), 0.1, np.float32),
        np.random.default_rng(0).random((1003, 131), np.float32),
    ):
        (got,) = model.run({graph.inputs[0]: value}).values()
        assert np.array_equal(got[0], in_parts(value))


@pytest.mark.parametrize("threads", range(1, 9))
@pytest.mark.parametrize("columns", [64, 96, 240, 672])
def test_threads_share_the_columns_evenly(columns: int, threads: int) -> None:
    _, graph = reduction("ReduceSum", 49, columns)
    schedule = schedule_of(graph, Options(target="x86-64-v3", threads=threads))
    vectors = columns // 8
    busiest = -(-schedule.units // threads) * schedule.places[0].block.nv
    assert min(vectors, busiest) <= 1.1 * -(-vectors // threads)
