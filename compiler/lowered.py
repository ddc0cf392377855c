"""A kernel with canonical names, and what its arguments are bound to in one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .expr import Expr, Load, Lookup, merged, rewrite
from .flatten import Layout, map_exprs
from .graph import Type
from .kernel import Argument, Kernel, Local, Place, Schedule
from .stage import Stage
from .target import Target


@dataclass(frozen=True)
class Binding:
    """What a kernel argument is: a buffer from `offset` elements on, or a constant packed for `stage` (its number in the kernel)."""

    buffer: str
    offset: int = 0
    packed_for: int | None = None


@dataclass(frozen=True)
class Lowered:
    """A kernel and what its arguments are bound to in this model."""

    kernel: Kernel
    bindings: tuple[Binding, ...]


def canonical(
    stages: Sequence[Stage], places: Sequence[Place], locals_: Sequence[Local], schedule: Schedule, layouts: Mapping[str, Layout],
    types: Mapping[str, Type], target: Target,
) -> Lowered:  # fmt: skip
    """Rename buffers in order of use; a packed constant is an argument of its own for every stage that reads it."""
    names: dict[str, str] = {local.name: local.name for local in locals_}
    arguments: list[Argument] = []
    bindings: list[Binding] = []

    def bind(buffer: str, dtype: str, size: int, offset: int, packed_for: int | None) -> str:
        name = f"b{len(arguments)}"
        arguments.append(Argument(name, dtype, size))
        bindings.append(Binding(buffer, offset, packed_for))
        return name

    def named(buffer: str, dtype: str) -> str:
        if buffer not in names:
            layout = layouts[buffer]
            names[buffer] = bind(
                buffer, dtype, Layout(layout.strides).size(types[buffer]), layout.offset, None
            )
        return names[buffer]

    out = []
    for number, (stage, place) in enumerate(zip(stages, places, strict=True)):
        packed: dict[int, Expr] = {}
        if place.packed:
            weight = stage.operands[1].expr
            assert isinstance(weight, Load)
            name = bind(weight.buffer, weight.dtype, types[weight.buffer].size, 0, number)
            packed[id(weight)] = Load(weight.dtype, name, weight.map)

        def leaf(node: Expr, packed: dict[int, Expr] = packed) -> Expr | None:
            if id(node) in packed:
                return packed[id(node)]
            return (
                replace(node, buffer=named(node.buffer, node.dtype))
                if isinstance(node, Load | Lookup)
                else None
            )

        stage = map_exprs(stage, lambda expr: rewrite(expr, leaf))
        values = merged(*(store.value for store in stage.stores))
        out.append(
            replace(
                stage,
                stores=tuple(
                    replace(store, value=value, buffer=named(store.buffer, value.dtype))
                    for store, value in zip(stage.stores, values, strict=True)
                ),
            )
        )
    kernel = Kernel(target, tuple(out), schedule, tuple(arguments), tuple(locals_))
    return Lowered(kernel, tuple(bindings))
