"""Weights of the next lane block are asked for in shares: every line of them, evenly, and nothing far beyond.

The kernels run as machine code in which a call that notes the address stands for the prefetch.
"""

from __future__ import annotations

import ctypes
import re
from itertools import count

import llvmlite.binding as llvm
import numpy as np
import pytest

from fusekit.compiler.compile import Options, Stages, lower_graph
from fusekit.compiler.generate import generate
from fusekit.compiler.kernel import Kernel
from fusekit.compiler.objects import optimise
from fusekit.compiler.target import TARGETS

from ..fusion.nets import Net

LINE = 64
X86 = "x86-64-v2", "x86-64-v3"
NUMBERS = count()


def lowered(target: str, channels: int, outputs: int, size: int, kernel: int = 1, threads: int = 1) -> Stages:
    """A convolution between two others, so that it has the layouts of one inside a net."""
    net = Net()
    x = net.conv(net.conv(net.input(1, 4, size, size), channels), outputs, kernel)
    graph = net.graph(net.conv(x, 4))
    return lower_graph(graph, Options(target=target, threads=threads, bands=False))


def asking(stages: Stages) -> tuple[Kernel, int]:
    """The kernel that asks for weights ahead, and the number of the argument that has them."""
    found = [each for each in stages.lowered if any(place.ahead for place in each.kernel.schedule.places)]
    (only,) = found
    (stage,) = [number for number, place in enumerate(only.kernel.schedule.places) if place.ahead]
    return only.kernel, [binding.packed_for for binding in only.bindings].index(stage)


def asked_for(kernel: Kernel, weights: int, units: range) -> list[int]:
    """Lines of the weights that the units ask for, in order, counted from the first one; none twice in a row."""
    noted: list[int] = []
    note = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(noted.append)
    name = f"note{next(NUMBERS)}"
    llvm.add_symbol(name, ctypes.cast(note, ctypes.c_void_p).value)
    text = str(generate(kernel))
    text = re.sub(r'call void @"llvm.prefetch.p0"\((ptr [^,]*),[^)]*\)', rf'call void @"{name}"(\1)', text)
    assert name in text, "no prefetch was found"
    text += f'\ndeclare void @"{name}"(ptr)\n'
    module = optimise(text, kernel.target)
    machine = llvm.Target.from_triple(kernel.target.triple).create_target_machine(
        cpu=kernel.target.cpu, jit=True
    )
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    type_ = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    arrays = [np.zeros(LINE + 4 * argument.size, np.uint8) for argument in kernel.arguments]
    pointers = [array.ctypes.data + -array.ctypes.data % LINE for array in arrays]
    table = (ctypes.c_void_p * len(pointers))(*pointers)
    scratch = np.zeros(kernel.scratch_bytes + LINE, np.uint8)
    start = scratch.ctypes.data + -scratch.ctypes.data % LINE
    type_(engine.get_function_address(kernel.symbol))(ctypes.addressof(table), start, units.start, units.stop)
    lines = [(address - pointers[weights]) // LINE for address in noted]
    return [line for line, before in zip(lines, [-1, *lines], strict=False) if line != before]


CASES = [
    (512, 96, 7, 1, 1),
    (512, 100, 7, 1, 1),
    (384, 200, 10, 1, 1),
    (520, 64, 13, 1, 1),
    (260, 72, 29, 1, 1),
    (512, 96, 7, 1, 2),
    (96, 104, 12, 3, 1),
]


@pytest.mark.parametrize("target", X86)
@pytest.mark.parametrize(("channels", "outputs", "size", "window", "threads"), CASES)
def test_every_line_of_the_next_lane_block_is_asked_for(
    target: str, channels: int, outputs: int, size: int, window: int, threads: int
) -> None:
    kernel, weights = asking(lowered(target, channels, outputs, size, window, threads))
    lines = asked_for(kernel, weights, range(kernel.schedule.units))
    (place,) = [place for place in kernel.schedule.places if place.ahead]
    (stage,) = [s for s, p in zip(kernel.stages, kernel.schedule.places, strict=True) if p.ahead]
    depth = int(np.prod([axis.extent for axis in stage.reduce]))
    block = 4 * depth * place.block.width(kernel.target.machine)
    end = 4 * kernel.arguments[weights].size
    assert set(range(-(-block // LINE), end // LINE)) <= set(lines)
    assert max(lines) < (end + 2 * block) // LINE + 1, "it asks for what is far away"


@pytest.mark.parametrize("target", X86)
def test_most_lines_are_asked_for_where_pads_leave_taps_out(target: str) -> None:
    """At the edges of a map the sums are shorter, and steps left out ask for nothing: a few lines come later, with their own block."""
    kernel, weights = asking(lowered(target, 24, 72, 9, 5))
    lines = asked_for(kernel, weights, range(kernel.schedule.units))
    end = 4 * kernel.arguments[weights].size
    block = 4 * 24 * 25 * kernel.schedule.places[-1].block.width(kernel.target.machine)
    wanted = set(range(-(-block // LINE), end // LINE))
    assert len(wanted & set(lines)) > 0.8 * len(wanted)


@pytest.mark.parametrize("target", X86)
def test_they_are_asked_for_evenly(target: str) -> None:
    """A quarter of the columns asks for a quarter of the next lane block."""
    kernel, weights = asking(lowered(target, 512, 96, 7))
    lines = asked_for(kernel, weights, range(1))
    block = 4 * 512 * kernel.schedule.places[-1].block.width(kernel.target.machine) // LINE
    first = [line for line in lines if block <= line < 2 * block]
    for part in (0.25, 0.5, 0.75):
        early = set(first[: int(part * len(first))])
        assert part - 0.15 <= len(early) / block <= part + 0.15


@pytest.mark.parametrize("target", [*X86, "x86-64-v4", "znver4"])
def test_winograds_matrices_are_asked_for_too(target: str) -> None:
    net = Net()
    x = net.conv(net.conv(net.conv(net.input(1, 4, 28, 28), 96), 96, 3), 4)
    stages = lower_graph(net.graph(x), Options(target=target))
    kernel, _ = asking(stages)
    assert [stage.anchor for stage in kernel.stages] == ["pointwise", "contraction", "pointwise"]


@pytest.mark.parametrize(("channels", "outputs", "size"), [
    pytest.param(64, 64, 14, id="they stay near"),
    pytest.param(1200, 16, 14, id="there is one lane block"),
    pytest.param(96, 192, 56, id="many columns use them"),
    pytest.param(512, 96, 1, id="one column uses them"),
])  # fmt: skip
def test_weights_are_not_asked_for_where_that_gains_nothing(channels: int, outputs: int, size: int) -> None:
    stages = lowered("x86-64-v3", channels, outputs, size)
    assert not any(place.ahead for each in stages.lowered for place in each.kernel.schedule.places)


@pytest.mark.parametrize("target", sorted(n for n, row in TARGETS.items() if row.arch == "aarch64"))
def test_where_multiply_adds_read_a_lane_nothing_is_asked_for(target: str) -> None:
    stages = lowered(target, 512, 96, 7)
    assert not any(place.ahead for each in stages.lowered for place in each.kernel.schedule.places)
