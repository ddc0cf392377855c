"""Groups in numpy: what every stage computes over its axes, into arrays in place of buffers.

A Load or Store has one Index per dimension of its buffer's array: logical coordinates before memory is laid out, one flat address after.
Sums are taken in float64 and rounded once, so that the result depends on no order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeGuard

import numpy as np

from .expr import Expr, Guard, Load, Lookup, Nothing, const, walk
from .fusion import Fused
from .graph import Graph, Type
from .index import Box, Map
from .interpret_expr import AxisValues, evaluate
from .placement import constant_types
from .stage import Stage

Array = np.ndarray[Any, Any]

_COMBINE: Mapping[str, Callable[..., Array]] = {"sum": np.sum, "max": np.max, "min": np.min}


@dataclass(frozen=True)
class Part:
    """The part of a stage's iterations to run: the values of some axes (the others run over all of theirs), and of axes outside it."""

    values: Mapping[int, Array] = field(default_factory=dict)
    outside: Mapping[int, int] = field(default_factory=dict)


WHOLE = Part()
"""Every iteration."""


def run_groups(graph: Graph, fused: Fused, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of `graph` by name, computed group by group."""
    types = {
        **graph.types,
        **constant_types(fused),
        **{name: type_ for group in fused.groups for name, type_ in group.inner},
    }
    values: dict[str, Array] = {**graph.constants, **fused.constants, **feeds}

    def memory(name: str) -> Array:
        if name not in values:
            slot = fused.slots.get(name)
            if slot is None:
                values[name] = unwritten(types[name])
            else:
                end = slot.start + types[name].shape[slot.axis]
                part = [slice(None)] * slot.axis + [slice(slot.start, end)]
                values[name] = memory(slot.parent)[tuple(part)]
        return values[name]

    for group in fused.groups:
        for stage in group.stages:
            run_stage(stage, {name: memory(name) for name in buffers_of(stage)})
    return {name: memory(name) for name in graph.outputs}


def unwritten(type_: Type) -> Array:
    """An array that nothing has been stored in: all bits set, which makes floats NaN."""
    bits = np.full(prod(type_.shape) * np.dtype(type_.dtype).itemsize, 0xFF, np.uint8)
    return bits.view(type_.dtype).reshape(type_.shape)


def buffers_of(stage: Stage) -> list[str]:
    """Every buffer that the stage reads or writes."""
    return list(dict.fromkeys([load.buffer for load in stage.loads()] + [s.buffer for s in stage.stores]))


def run_stage(stage: Stage, buffers: Mapping[str, Array], part: Part = WHOLE) -> None:
    """Store what the iterations of `part` compute into `buffers`."""
    grid = _Grid.of(stage, part)
    acc = _anchor(stage, buffers, grid) if stage.operands else None
    results: dict[int, Array] = {}
    for store in stage.stores:
        if id(store.value) not in results:
            expr = replace(store.value, outside=const(0)) if _is_partial(store.value) else store.value
            results[id(store.value)] = evaluate(expr, _loader(buffers), grid.axis, acc)
    for store in stage.stores:
        value = np.broadcast_to(results[id(store.value)], grid.shape)
        if not store.map:  # a scalar: no coordinates, and the axes that lead to it one iteration each
            buffers[store.buffer][()] = value.reshape(())
            continue
        written = np.broadcast_to(_written(store.value, grid), grid.shape)
        where = [np.broadcast_to(index.evaluate(grid.axis), grid.shape)[written] for index in store.map]
        _check_inside(store.buffer, buffers[store.buffer], store.map, where)
        buffers[store.buffer][tuple(where)] = value[written]


def _is_partial(value: Expr) -> TypeGuard[Guard]:
    return isinstance(value, Guard) and isinstance(value.outside, Nothing)


def _written(value: Expr, grid: _Grid) -> Array:
    """Where a store writes."""
    return _inside(value.box if _is_partial(value) else (), grid.axis)


def _inside(box: Box, axis: AxisValues) -> Array:
    """Where all bounds hold."""
    inside = np.asarray(True)
    for bound in box:
        at = bound.index.evaluate(axis)
        inside = inside & (bound.lo <= at) & (at < bound.hi)
    return inside


@dataclass(frozen=True)
class _Grid:
    """Values of the axes along dimensions of their own, in the order `numbers`."""

    numbers: tuple[int, ...]
    values: Mapping[int, Array]
    outside: Mapping[int, int]

    @staticmethod
    def of(stage: Stage, part: Part) -> _Grid:
        values = {a.id: part.values.get(a.id, np.arange(a.extent)) for a in stage.axes + stage.reduce}
        return _Grid(tuple(a.id for a in stage.axes), values, part.outside)

    def over(self, numbers: tuple[int, ...]) -> _Grid:
        """The same values with other axes as dimensions."""
        return _Grid(numbers, self.values, self.outside)

    def axis(self, number: int) -> Array:
        """Values of an axis, in a shape that broadcasts with those of the others."""
        if number in self.outside:
            return np.asarray(self.outside[number])
        at = self.numbers.index(number)
        return self.values[number].reshape([-1 if i == at else 1 for i in range(len(self.numbers))])

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(self.values[number]) for number in self.numbers)


def _anchor(stage: Stage, buffers: Mapping[str, Array], grid: _Grid) -> Array:
    """The product of the operands combined over the reduce axes, with a dimension per output axis."""
    exprs = [operand.inlined() for operand in stage.operands]
    used = [_axes_of(expr) for expr in exprs]
    # An axis that no operand varies along is repeated along with the first.
    used[0] |= {a.id for a in stage.reduce}.difference(*used[1:])
    used[0] |= set().union(*(bound.index.axes for bound in stage.support))
    factors: list[Array] = []
    dimensions: list[tuple[int, ...]] = []
    for number, (expr, numbers) in enumerate(zip(exprs, used, strict=True)):
        own = tuple(a.id for a in stage.axes + stage.reduce if a.id in numbers)
        values = evaluate(expr, _loader(buffers), grid.over(own).axis)
        if number == 0 and stage.support:
            values = np.where(_inside(stage.support, grid.over(own).axis), values, 0)
        factors.append(np.broadcast_to(values, grid.over(own).shape).astype(_wide(expr.dtype)))
        dimensions.append(own)
    kept = tuple(number for number in grid.numbers if number in used[0].union(*used[1:]))
    if len(factors) == 1:
        gone = tuple(i for i, number in enumerate(dimensions[0]) if number not in kept)
        result = _COMBINE[stage.combine](factors[0], axis=gone)
    else:
        assert stage.combine == "sum", "a product is summed"
        letter = {a.id: i for i, a in enumerate(stage.axes + stage.reduce)}
        labels = [[letter[number] for number in own] for own in (*dimensions, kept)]
        result = np.einsum(factors[0], labels[0], factors[1], labels[1], labels[2], optimize=True)
    result = result.reshape([len(grid.values[n]) if n in kept else 1 for n in grid.numbers])
    if stage.init is not None:
        result = result + evaluate(stage.init, _loader(buffers), grid.axis)
    dtype = stage.operands[0].expr.dtype
    return np.asarray(np.broadcast_to(result, grid.shape)).astype(dtype)


def _wide(dtype: str) -> str:
    return "float64" if dtype.startswith("float") else dtype


def _axes_of(expr: Expr) -> set[int]:
    """Numbers of the axes that the value of `expr` depends on."""
    found: set[int] = set()
    for node in walk(expr):
        if isinstance(node, Load | Lookup):
            found |= set().union(*(index.axes for index in node.map))
        elif isinstance(node, Guard):
            found |= set().union(*(bound.index.axes for bound in node.box))
    return found


def _loader(buffers: Mapping[str, Array]) -> Callable[[Load, AxisValues], Array]:
    def load(node: Load, axis: AxisValues) -> Array:
        source = buffers[node.buffer]
        assert source.dtype == node.dtype, f"{node.buffer} of {source.dtype} is read as {node.dtype}"
        return np.asarray(source[_where(node.buffer, source, node.map, axis)])

    return load


def _where(name: str, array: Array, coordinates: Map, axis: AxisValues) -> tuple[Any, ...]:
    """The elements of `array` at `coordinates`; AssertionError where one of them is outside."""
    found = tuple(index.evaluate(axis) for index in coordinates)
    _check_inside(name, array, coordinates, found)
    return found


def _check_inside(name: str, array: Array, coordinates: Map, found: Sequence[Array]) -> None:
    assert len(found) == array.ndim, f"{name} of {array.ndim} dimensions is read by {len(found)} coordinates"
    for values, index, extent in zip(found, coordinates, array.shape, strict=True):
        if np.size(values) == 0:
            continue
        lo, hi = np.min(values), np.max(values)
        assert 0 <= lo and hi < extent, f"{name}[{index}] runs over [{lo}, {hi}] of {extent} elements"
