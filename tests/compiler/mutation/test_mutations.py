"""One line of the compiler broken at a time: the property check finds it, and names the stage that went wrong."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ..property.check import runnable
from .graphs import GRAPHS, failure
from .mutate import mutated


class Mutation(NamedTuple):
    """A text of a file of the compiler, what it becomes, a graph that shows it, and the first stage whose result is then wrong."""

    file: str
    old: str
    new: str
    graph: str
    stage: str


MUTATIONS = (
    Mutation(
        "fusion.py",
        "any(self._made_after(value, opened) for value in node.inputs)",
        "False",
        "shared",
        "groups",
    ),
    Mutation("fusion.py", "start += self.graph.types[value].shape[axis]", "start += 1", "slices", "groups"),
    Mutation(
        "fusion.py",
        'moved = tuple(where[axis] for axis in node.ints("perm"))',
        "moved = where",
        "slices",
        "groups",
    ),
    Mutation(
        "build_stage.py",
        "Bound(where[2 + i], pads[i], pads",
        "Bound(where[2 + i], 0, pads",
        "sliding",
        "groups",
    ),
    Mutation(
        "placement.py",
        "offsets.append((slot.axis, slot.start))",
        "offsets.append((slot.axis, 0))",
        "slices",
        "kernels",
    ),
    Mutation("flatten.py", "a == b * inner.extent", "a >= b * inner.extent", "sliding", "kernels"),
    Mutation(
        "local_buffer.py",
        "return (tile - 1) * scale + rest + 1,",
        "return (tile - 1) * scale + rest,",
        "band",
        "kernels",
    ),
    Mutation("local_buffer.py", "top, left = -expr.map[2]", "left, top = -expr.map[2]", "band", "kernels"),
    Mutation("bands.py", "any(b != whole for b in bounds)", "False", "part", "kernels"),
    Mutation(
        "rows.py",
        "value not in {*graph.outputs, *fused.slots}",
        "value not in graph.outputs",
        "normalised_slices",
        "kernels",
    ),
    Mutation(
        "plan.py",
        "if first[o] <= last[home] and first[home] <= last[o]",
        "if first[o] == first[home]",
        "shared",
        "kernels",
    ),
    Mutation(
        "packing.py", "[*batch, *order, lane]", "[*batch, *reversed(order), lane]", "sliding", "machine code"
    ),
    Mutation("generate.py", "rest[1] + 1 - scale", "rest[1] - scale", "padded", "machine code"),
    Mutation(
        "generate.py",
        "self._blank(place.local, halo, y + halo.top, 0, halo.left)",
        "pass",
        "band",
        "machine code",
    ),
    Mutation(
        "anchors/contraction.py",
        "self.n * self._depth + k * self.width + offset",
        "self.n * self._depth + k * self.width",
        "sliding",
        "machine code",
    ),
    Mutation(
        "anchors/region.py",
        "looped(max(first, large), last, size - 1, large)",
        "looped(max(first, large), last, size - 1, 0)",
        "sliding",
        "machine code",
    ),
    Mutation(
        "anchors/region.py", "number * (size - 1) + large", "number * (size - 1)", "products", "machine code"
    ),
    Mutation("index.py", "(down + self.hi) // factor", "(down + self.hi - 1)", "padded", "machine code"),
    Mutation("index.py", "-self.lo) // -factor + 1", "-self.lo) // -factor", "phases", "machine code"),
    Mutation(
        "anchors/turned.py",
        "columns[3].append(within((2, 3, 6, 7)",
        "columns[3].append(within((0, 1, 4, 5)",
        "turned",
        "machine code",
    ),
    Mutation(
        "anchors/joint_dot.py", "high = [i + half for i in low]", "high = low", "turned", "machine code"
    ),
    Mutation(
        "planes.py",
        "source, where), to, where)",
        "source, where), to, where[:2] + where[:1:-1])",
        "turned",
        "groups",
    ),
    Mutation("anchors/lane_groups.py", "* self.inputs + number", "* self.inputs", "grouped", "machine code"),
    Mutation(
        "anchors/window.py",
        "tap = tap * axis_of(self.stage, number).extent + fixed",
        "tap = tap + fixed",
        "band",
        "machine code",
    ),
    Mutation(
        "anchors/pointwise.py", "body(Coord.at(last), end - last)", "pass", "statistics", "machine code"
    ),
    Mutation(
        "anchors/reduce.py",
        "Coord.at(whole * lanes)).over(lane.id, rest)",
        "Coord.at(0)).over(lane.id, rest)",
        "statistics",
        "machine code",
    ),
    Mutation("anchors/reduce.py", "        if lanes % 2:", "        if False:", "statistics", "machine code"),
)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m.file}: {m.new}")
def test_check_names_the_stage_that_a_mutation_breaks(mutation: Mutation) -> None:
    if mutation.stage == "machine code" and not runnable():
        pytest.skip("host: no target's code runs here")
    with mutated(mutation.file, mutation.old, mutation.new):
        found = failure(mutation.graph)
    assert found.startswith(f"{mutation.stage} ("), found or "nothing is wrong"


@pytest.mark.parametrize("graph", GRAPHS)
def test_check_finds_nothing_in_the_compiler_as_it_is(graph: str) -> None:
    assert failure(graph) == ""
