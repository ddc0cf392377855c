"""Kernels and plans in numpy: flat addresses into real memory, unit by unit as the schedule cuts the work.

Every unit starts with empty local buffers and makes all the rows it needs, so a result does not depend on who ran the unit before. Packed
constants are put back in the order in which the kernel's addresses count. What is left for machine code alone: register blocks, vectors, and
which rows of a ring are still there from the unit before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .anchors.region import axis_of, balanced
from .expr import Load, loads
from .graph import Graph, Type
from .index import Index
from .interpret_stage import Part, buffers_of, run_stage, unwritten
from .kernel import TILE, Halo, Kernel, Place
from .packing import pack
from .plan import Plan
from .stage import Stage

Array = np.ndarray[Any, Any]


def run_plan(graph: Graph, plan: Plan, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of `graph` by name, computed by the plan's kernels in its arena."""
    outputs = {name: unwritten(graph.types[name]) for name in graph.outputs}
    memory = {
        "arena": [np.full(plan.arena_bytes, 0xFF, np.uint8)],
        "weights": [np.frombuffer(plan.weights, np.uint8)],
        "input": [_bytes_of(np.ascontiguousarray(feeds[name])) for name in graph.inputs],
        "output": [_bytes_of(outputs[name]) for name in graph.outputs],
    }
    for step in plan.steps:
        kernel = step.lowered.kernel
        arguments = {}
        for argument, place in zip(kernel.arguments, step.arguments, strict=True):
            end = place.offset + argument.size * np.dtype(argument.dtype).itemsize
            whole = memory[place.where][place.number]
            assert end <= len(whole), (
                f"{kernel.symbol} {argument.name} ends at byte {end} of {place}, {len(whole)} bytes"
            )
            arguments[argument.name] = whole[place.offset : end].view(argument.dtype)
        run_kernel(kernel, arguments)
    return outputs


def _bytes_of(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)


def run_kernel(kernel: Kernel, arguments: Mapping[str, Array]) -> None:
    """Run every unit of `kernel` over its arguments' memory, flat arrays of `Argument.size` elements."""
    buffers = {**arguments, **_unpacked(kernel, arguments)}
    for stage, part in _parts(kernel, buffers):
        run_stage(stage, {name: buffers[name] for name in buffers_of(stage)}, part)


def _unpacked(kernel: Kernel, arguments: Mapping[str, Array]) -> dict[str, Array]:
    """Packed constants in the order of the addresses that read them."""
    found = {}
    for stage, place in zip(kernel.stages, kernel.schedule.places, strict=True):
        if place.packed:
            weight = stage.operands[1].inlined()
            assert isinstance(weight, Load)
            packed = arguments[weight.buffer]
            order = pack(stage, place, kernel.target.machine, np.arange(packed.size))
            plain = np.empty_like(packed)
            plain[order] = packed[: order.size]
            found[weight.buffer] = plain
    return found


@dataclass(frozen=True)
class _Rows:
    """Rows ``[lo, hi)`` of a stage, for fixed values of the axes that the unit fixes."""

    lo: int
    hi: int
    fixed: Mapping[int, int]


def _parts(kernel: Kernel, buffers: dict[str, Array]) -> Iterator[tuple[Stage, Part]]:
    """Every stage and the part of it to run, in order; local buffers are made anew in `buffers` for every unit."""
    for rows, lanes in _units(kernel):
        for local in kernel.locals:
            buffers[local.name] = unwritten(Type(local.dtype, (local.size,)))
        outside = {TILE.id: rows.lo}
        for number, made in reversed(_producers(kernel, rows).items()):
            stage, place = kernel.stages[number], kernel.schedule.places[number]
            halo = place.halo
            if halo is None:
                yield from ((stage, Part(values, outside)) for values in _walked(stage, place, made))
                continue
            _blank(buffers[place.local], halo, stage, place, made)
            extent = axis_of(stage, place.row).extent
            lo, hi = (min(max(row - halo.top, 0), extent) for row in (made.lo, made.hi))
            if lo < hi:
                yield stage, Part(_values(place, _Rows(lo, hi, made.fixed)), outside)
        for values in _walked(kernel.root, kernel.schedule.places[-1], rows):
            if lanes is not None:
                values[kernel.schedule.places[-1].lane] = np.arange(lanes.start, lanes.stop)
            yield kernel.root, Part(values, outside)


def _values(place: Place, rows: _Rows) -> dict[int, Array]:
    fixed = {axis: np.array([value]) for axis, value in rows.fixed.items()}
    return {**fixed, place.row: np.arange(rows.lo, rows.hi)}


def _walked(stage: Stage, place: Place, rows: _Rows) -> Iterator[dict[int, Array]]:
    """The values of the stage's axes in those rows: one by one where a row is a place along several of them."""
    if not place.walked:
        yield _values(place, rows)
        return
    extents = [axis_of(stage, number).extent for number in place.walked]
    for row in range(rows.lo, rows.hi):
        yield dict(zip(place.walked, (np.array([v]) for v in np.unravel_index(row, extents)), strict=True))


def _units(kernel: Kernel) -> Iterator[tuple[_Rows, range | None]]:
    """The root's rows in each unit, and the lanes where units are blocks of these."""
    schedule, root, place = kernel.schedule, kernel.root, kernel.schedule.places[-1]
    stage, counted = kernel.counted
    row = axis_of(stage, counted.row)
    if schedule.parallel == "lanes":
        assert not place.outer, "lanes are shared out within one image"
        lane = axis_of(root, place.lane)
        width = schedule.tile * place.block.width(kernel.target.machine)
        for unit in range(schedule.units):
            lanes = range(unit * width, min((unit + 1) * width, lane.extent))
            yield _Rows(0, row.extent, {}), lanes
        return
    count = balanced(row.extent, counted.block.mr)[0] if counted.row == counted.col else row.extent
    tiles = -(-count // schedule.tile)
    extents = [axis_of(root, number).extent for number in place.outer]
    assert schedule.units == tiles * int(np.prod(extents)), f"{schedule.units} units are not all the work"
    for unit in range(schedule.units):
        first = unit % tiles * schedule.tile
        last = min(first + schedule.tile, count)
        outer = np.unravel_index(unit // tiles, extents) if extents else ()
        fixed = {number: int(value) for number, value in zip(place.outer, outer, strict=True)}
        yield _Rows(_first_row(stage, counted, first), _first_row(stage, counted, last), fixed), None


def _first_row(stage: Stage, place: Place, number: int) -> int:
    """The first row of a block of rows, or the row of that number where rows are not the columns of a block."""
    if place.row != place.col:
        return number
    _, large, size = balanced(axis_of(stage, place.row).extent, place.block.mr)
    return number * size - max(number - large, 0)


def _producers(kernel: Kernel, rows: _Rows) -> dict[int, _Rows]:
    """By stage number, from the last producer back to the first: the rows of its local buffer that the root's `rows` need."""
    needed: dict[int, _Rows] = {}
    wanted = {len(kernel.stages) - 1: rows}
    for number in reversed(range(len(kernel.stages) - 1)):
        place = kernel.schedule.places[number]
        halo = place.halo
        if halo is None:  # a stage of a row group: the root's own rows
            needed[number] = rows
            continue
        for reader, asked in wanted.items():
            for operand in kernel.stages[reader].operands:
                if place.local in {load.buffer for load in loads(operand.expr)}:
                    coordinates = {a.id: i for a, i in zip(operand.axes, operand.map, strict=True)}
                    at = kernel.stages[reader], kernel.schedule.places[reader], asked
                    lo, hi = _range(coordinates[place.row], *at)
                    fixed = {axis: _range(coordinates[axis], *at)[0] for axis in place.outer}
                    needed[number] = _Rows(lo, hi, fixed)
        made, extent = needed[number], axis_of(kernel.stages[number], place.row).extent
        lo, hi = (min(max(row - halo.top, 0), extent) for row in (made.lo, made.hi))
        wanted[number] = _Rows(lo, hi, made.fixed)
    return needed


def _range(index: Index, stage: Stage, place: Place, rows: _Rows) -> tuple[int, int]:
    """``[lo, hi)`` of an Index while `stage` runs over `rows`; empty where it runs over none, as where a reader needs pads alone."""
    values = _values(place, rows)
    numbers = [a for a in stage.axes + stage.reduce if a.id in index.axes]

    def axis(number: int) -> Array:
        at = next(i for i, a in enumerate(numbers) if a.id == number)
        own = values.get(number, np.arange(numbers[at].extent))
        return own.reshape([-1 if i == at else 1 for i in range(len(numbers))])

    found = np.asarray(index.evaluate(axis))
    return (int(found.min()), int(found.max()) + 1) if found.size else (0, 0)


def _blank(local: Array, halo: Halo, stage: Stage, place: Place, rows: _Rows) -> None:
    """Set the rows to what lies around what the stage computes, where anything does."""
    columns = 1 if place.col is None else axis_of(stage, place.col).extent
    around = halo.top or halo.left or halo.rows > halo.top + axis_of(stage, place.row).extent
    if not around and halo.cols <= halo.left + columns:
        return
    axes = np.ix_(np.arange(rows.lo, rows.hi), np.arange(halo.cols), np.arange(halo.depth))
    local[halo.address.evaluate(axes.__getitem__)] = halo.fill
