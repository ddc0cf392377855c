"""A single column's sum in parts that are added up side by side: every number of steps and vectors, and no register too many."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.anchors.sums import LEAST_STREAM, SPARE, streams_of
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.generate import generate
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.target import TARGETS

from ..fusion.nets import Net
from ..property.check import runnable

STEPS = [1, 31, 63, 64, 65, 96, 127, 128, 131, 303]


@pytest.mark.parametrize("target", runnable())
@pytest.mark.parametrize("outputs", [1, 3, 9, 24, 40, 100])
@pytest.mark.parametrize("steps", STEPS)
def test_every_step_is_added_once(steps: int, outputs: int, target: str) -> None:
    net = Net()
    product = net.node("MatMul", (1, outputs), net.input(1, steps), net.constant(steps, outputs))
    output = net.unary("Relu", net.binary("Add", product, net.constant(outputs)))
    graph, feeds, options = net.graph(output), net.feeds(), Options(target=target)
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_a_long_sum_is_read_in_several_places(target: str) -> None:
    """The sums of all parts are carried through the loop: twice the four vectors of a block, or more."""
    net = Net()
    graph = net.graph(net.node("MatMul", (1, 256), net.input(1, 512), net.constant(512, 256)))
    (step,) = (step for step in lower_graph(graph, Options(target=target)).lowered)
    assert step.kernel.schedule.places[0].block.nv == 4
    carried = str(generate(step.kernel)).count("phi  <")
    assert carried >= 2 * 4, carried


@pytest.mark.parametrize("threads", [1, 3])
def test_prologues_batches_and_threads(threads: int) -> None:
    net = Net()
    x = net.unary("Sigmoid", net.input(3, 1, 139))
    output = net.unary("Relu", net.node("MatMul", (3, 1, 75), x, net.input(3, 139, 75)))
    graph, feeds, options = net.graph(output), net.feeds(), Options(threads=threads)
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("target", sorted(TARGETS))
@pytest.mark.parametrize("vectors", range(1, 9))
def test_sums_and_what_is_multiplied_fit_the_registers(vectors: int, target: str) -> None:
    machine = TARGETS[target].machine
    for steps in STEPS:
        streams = streams_of(steps, vectors, machine)
        assert streams == 1 or streams * vectors <= machine.registers - SPARE
        assert streams == 1 or streams * LEAST_STREAM <= steps
    if machine.a_form == "lane":
        assert streams_of(4096, vectors, machine) == 1
    elif vectors <= 4:
        assert streams_of(4096, vectors, machine) >= 2
