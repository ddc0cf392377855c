"""Plan: the order of the steps and where in the arena and in the weights everything lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .graph import Graph, item_bytes
from .lowered import Binding, Lowered
from .packing import pack
from .placement import Placed

ALIGN = 64


@dataclass(frozen=True)
class Place:
    """Where an argument points: a byte offset in the arena or the weights, or into an input or output by number."""

    where: Literal["arena", "weights", "input", "output"]
    offset: int
    number: int = 0

    def __str__(self) -> str:
        return f"{self.where}{self.number if self.where in ('input', 'output') else ''}+{self.offset}"


@dataclass(frozen=True)
class Step:
    """A kernel and what its arguments point to."""

    lowered: Lowered
    arguments: tuple[Place, ...]

    def __str__(self) -> str:
        return f"{self.lowered.kernel.symbol}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True)
class Plan:
    """Everything that a run needs: steps in order, memory sizes in bytes, the weights' bytes."""

    steps: tuple[Step, ...]
    arena_bytes: int
    scratch_bytes: int
    """Of one thread."""
    weights: bytes

    def __str__(self) -> str:
        head = f"arena {self.arena_bytes} bytes, scratch {self.scratch_bytes} bytes a thread, weights {len(self.weights)} bytes"
        return "\n".join([head, *map(str, self.steps)])


def make_plan(
    graph: Graph, placed: Placed, lowered: Sequence[Lowered], constants: Mapping[str, np.ndarray]
) -> Plan:
    """Assign memory: values by lifetime in one arena, constants once each in the weights."""
    weights = _Weights(placed, constants)
    offsets, arena_bytes = _arena(graph, placed, lowered, constants)
    steps = []
    for item in lowered:
        places = []
        for binding, argument in zip(item.bindings, item.kernel.arguments, strict=True):
            home = placed.storage[binding.buffer]
            at = binding.offset * item_bytes(argument.dtype)
            if binding.buffer in constants:
                places.append(Place("weights", weights.add(item, binding) + at))
            elif home in graph.inputs:
                places.append(Place("input", at, graph.inputs.index(home)))
            elif home in graph.outputs:
                places.append(Place("output", at, graph.outputs.index(home)))
            else:
                places.append(Place("arena", offsets[home] + at))
        steps.append(Step(item, tuple(places)))
    scratch = max((item.kernel.scratch_bytes for item in lowered), default=0)
    return Plan(tuple(steps), arena_bytes, _round(scratch), weights.bytes())


def _round(size: int) -> int:
    return (size + ALIGN - 1) // ALIGN * ALIGN


class _Weights:
    """Constants laid end to end on cache lines, equal ones once."""

    def __init__(self, placed: Placed, constants: Mapping[str, np.ndarray]) -> None:
        self.placed, self.constants = placed, constants
        self.offsets: dict[bytes, int] = {}
        self.chunks: list[bytes] = []
        self.size = 0

    def add(self, item: Lowered, binding: Binding) -> int:
        data = _laid_out(self.constants[binding.buffer], self.placed.layouts[binding.buffer].strides)
        if binding.packed_for is not None:
            number = binding.packed_for
            kernel = item.kernel
            data = pack(kernel.stages[number], kernel.schedule.places[number], kernel.target.machine, data)
        content = np.ascontiguousarray(data).tobytes()
        if content not in self.offsets:
            self.offsets[content] = self.size
            padded = content.ljust(_round(len(content)), b"\0")
            self.chunks.append(padded)
            self.size += len(padded)
        return self.offsets[content]

    def bytes(self) -> bytes:
        """All of it, with a cache line of slack behind."""
        return b"".join(self.chunks) + bytes(ALIGN)


def _laid_out(constant: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    """The elements in the order that dense `strides` say, flat."""
    order = sorted(range(constant.ndim), key=lambda axis: (-strides[axis], axis))
    return np.ascontiguousarray(constant.transpose(order)).ravel()


def _arena(
    graph: Graph, placed: Placed, lowered: Sequence[Lowered], constants: Mapping[str, np.ndarray]
) -> tuple[dict[str, int], int]:
    """Byte offsets of the intermediate values: the largest first, each at the lowest place free during its life."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, item in enumerate(lowered):
        for binding in item.bindings:
            home = placed.storage[binding.buffer]
            if binding.buffer in constants or home in graph.inputs or home in graph.outputs:
                continue
            first.setdefault(home, number)
            last[home] = number
    offsets: dict[str, int] = {}
    sizes = {home: _round(placed.types[home].nbytes + ALIGN) for home in first}
    for home in sorted(first, key=lambda h: (-sizes[h], first[h], h)):
        busy = sorted(
            (offsets[o], offsets[o] + sizes[o])
            for o in offsets
            if first[o] <= last[home] and first[home] <= last[o]
        )
        at = 0
        for start, end in busy:
            if at + sizes[home] <= start:
                break
            at = max(at, end)
        offsets[home] = at
    return offsets, max((offsets[h] + sizes[h] for h in offsets), default=ALIGN)
