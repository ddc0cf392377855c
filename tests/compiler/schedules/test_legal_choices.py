"""Every legal choice, however foolish, gives the right answer; what is not legal is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

import fusekit
from fusekit.compiler.analytic_choice import analytic_choice
from fusekit.compiler.candidates import DIRECTIONS, candidates
from fusekit.compiler.choice import Choice, Signature, obstacle
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.target import TARGETS, find_target

from ..fusion.nets import Net
from .tables import random_choice, signatures, table

CLOSE = 1e-5
"""Of the largest output, as for Winograd's algorithm alone."""


def dense(net: Net) -> str:
    """Rings, strides, a costly epilogue, channels that fill no vector."""
    x = net.unary("Relu", net.conv(net.input(1, 6, 21, 19), 21))
    return net.conv(net.unary("Gelu", net.conv(x, 26, 3, 2)), 9)


def heads(net: Net) -> str:
    """Outputs few enough for lanes along the reduction."""
    x = net.unary("Relu", net.conv(net.input(1, 8, 14, 13), 19))
    return net.unary("Sigmoid", net.conv(x, 3, 3))


def windows(net: Net) -> str:
    """Depthwise convolution and pooling."""
    deep = net.conv(net.conv(net.input(1, 8, 17, 23), 29), 29, 3, group=29)
    return net.node(
        "MaxPool", (1, 29, 8, 11), net.unary("Relu", deep),
        kernel=(3, 3), strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0),
    )  # fmt: skip


def banded(net: Net) -> str:
    """A 1x1 convolution computed in bands of the depthwise one that reads it."""
    wide = net.unary("Relu", net.conv(net.input(1, 16, 72, 72), 96))
    return net.conv(net.conv(wide, 96, 3, 2, group=96), 8)


def square(net: Net) -> str:
    """A 3x3 convolution that Winograd's algorithm can compute."""
    x = net.unary("Relu", net.conv(net.input(1, 8, 18, 18), 20))
    return net.conv(net.unary("Relu", net.conv(x, 24, 3)), 8)


NETS = (dense, heads, windows, banded, square)


def outputs(graph: Graph, feeds: Mapping[str, np.ndarray], options: Options) -> np.ndarray:
    (found,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    return found


def random_choices(graph: Graph, seed: int) -> dict[Signature, Choice]:
    random, machine = np.random.default_rng(seed), find_target("host").machine
    found = signatures(lower_graph(graph, Options()))
    return {signature: random_choice(signature, machine, random) for signature in found}


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("seed", range(2))
def test_any_legal_choice_gives_the_answer(make: Callable[[Net], str], seed: int) -> None:
    net = Net()
    graph, feeds = net.graph(make(net)), net.feeds()
    choices = random_choices(graph, seed)
    (want,) = run_graph(graph, feeds).values()
    options = Options(schedules=table(find_target("host"), choices.items()), threads=1 + seed)
    wrong = np.abs(outputs(graph, feeds, options) - want).max()
    assert float(wrong) <= CLOSE * float(np.abs(want).max()), choices


@pytest.mark.parametrize("make", [dense, windows, banded])
def test_blocks_and_tiles_do_not_change_a_bit(make: Callable[[Net], str]) -> None:
    net = Net()
    graph, feeds = net.graph(make(net)), net.feeds()
    target = find_target("host")
    choices = {
        signature: replace(choice, dot=False)
        for signature, choice in random_choices(graph, 0).items()
        if signature.tunable != "winograd" and not analytic_choice(signature, target.machine).dot
    }
    tuned = Options(schedules=table(target, choices.items()))
    analytic = Options(schedules=table(target, []))
    assert np.array_equal(outputs(graph, feeds, tuned), outputs(graph, feeds, analytic))


A76, AVX2 = TARGETS["cortex-a76"].machine, TARGETS["x86-64-v3"].machine
POINTS = Signature.parse("contraction 1x3136x64 over 24 reads 0,24,1 writes 0,64,1 epilogue 2 packed float32")
STRIDED = replace(POINTS, reads=(0, 1, 3136))
WINDOW = Signature.parse(
    "depthwise 56x56x96 over 3x3 reads 5376,96,5376 writes 5376,96,1 epilogue 2 packed float32"
)
SUM = Signature.parse("pointwise 1x0x4096 over - reads - writes 0,0,1 epilogue 1 float32")
SQUARE = Signature.parse("winograd 56x56x64 over 64x3x3 reads - writes - epilogue 1 packed float32")


@pytest.mark.parametrize("signature", [POINTS, STRIDED, WINDOW, SUM, SQUARE])
def test_a_signature_is_its_text(signature: Signature) -> None:
    assert Signature.parse(str(signature)) == signature


@pytest.mark.parametrize(
    "text",
    [
        "",
        "softmax" + str(SUM)[9:],
        str(POINTS) + " ",
        str(POINTS).replace("64", "six"),
        str(POINTS).replace("contraction ", "contraction 0"),
        str(WINDOW).replace(f"over {'x'.join(map(str, WINDOW.depth))}", "over 9"),
    ],
)
def test_other_text_is_no_signature(text: str) -> None:
    with pytest.raises(ValueError, match="is no signature of a stage$"):
        Signature.parse(text)


@pytest.mark.parametrize(
    ("choice", "signature", "said"),
    [
        (Choice(mr=17), POINTS, "a block has 1 to 16 columns and 1 to 4 vectors"),
        (Choice(nv=0), SUM, "a block has 1 to 16 columns and 1 to 4 vectors"),
        (Choice(7, 2), POINTS, "the block needs 17 registers of 16"),
        (Choice(6, 2, unroll=0), POINTS, "a reduction is unrolled by 1 to 16 steps"),
        (Choice(6, 2, tiles=2), POINTS, "it has 1 rows to cut into tiles"),
        (Choice(4, 2, half=True), POINTS, "only where the units are half as wide as a register are vectors half a register long"),
        (Choice(15, dot=True), POINTS, "the block needs 17 registers of 16"),
        (Choice(8, 2, dot=True), POINTS, "the block of a dot is one vector wide and its epilogue runs on the registers"),
        (Choice(8, dot=True), STRIDED, "lanes run only along a reduction over adjacent float32 elements, for columns, with constant weights"),
        (Choice(winograd=True), POINTS, "it is a contraction already"),
        (Choice(8, 2), WINDOW, "the block needs 24 registers of 16"),
        (Choice(4, unroll=8), WINDOW, "a window has nothing to choose but mr, nv and rows"),
        (Choice(4, rows=3), WINDOW, "a block has 1 to 2 rows, and no more than there are: 56"),
        (Choice(5, rows=2), WINDOW, "the block needs 18 registers of 16"),
        (Choice(4, rows=2), POINTS, "only windows have blocks of several rows"),
        (Choice(4), SUM, "elementwise work has nothing to choose but nv"),
        (Choice(4), SQUARE, "of a convolution only winograd can be chosen here"),
    ],
)  # fmt: skip
def test_what_is_not_legal_says_why(choice: Choice, signature: Signature, said: str) -> None:
    assert obstacle(choice, signature, AVX2) == said


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("signature", [POINTS, STRIDED, WINDOW, SUM, replace(POINTS, lanes=1)])
def test_the_analytic_choice_and_its_candidates_are_legal_and_distinct(
    target: str, signature: Signature
) -> None:
    machine = TARGETS[target].machine
    start = analytic_choice(signature, machine)
    found = [c for direction in DIRECTIONS for c in candidates(direction, start, signature, machine)]
    assert start not in found and len(set(found)) == len(found) > 0
    assert not any(obstacle(choice, signature, machine) for choice in (start, *found))


def test_candidates_cover_each_decision() -> None:
    def changed(signature: Signature) -> set[str]:
        start = analytic_choice(signature, A76)
        found = [c for direction in DIRECTIONS for c in candidates(direction, start, signature, A76)]
        return {name for c in found for name in vars(c) if getattr(c, name) != getattr(start, name)}

    few = replace(POINTS, rows=8, lanes=6)
    assert changed(few) == {"mr", "nv", "unroll", "tiles", "row_epilogue", "dot"}
    assert changed(WINDOW) == {"mr", "nv", "rows"} and changed(SUM) == {"nv"}
    assert changed(replace(SUM, epilogue=65)) == set()
    assert candidates(DIRECTIONS[0], Choice(), SQUARE, A76) == (Choice(winograd=True),)
