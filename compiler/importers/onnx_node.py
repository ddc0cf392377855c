"""OnnxNode: one node of an ONNX model with its attributes decoded and the types of its outputs known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..graph import Type

Value = int | float | str | tuple[int, ...] | tuple[float, ...]


class Unsupported(Exception):
    """Why one node cannot be imported: a clause that completes ``Pad (node "p"): …``."""


@dataclass(frozen=True)
class OnnxNode:
    """A node to import. An omitted optional input or output is the empty name; `types` has one entry per output."""

    op: str
    name: str
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: tuple[Type | None, ...]
    attrs: Mapping[str, Value]

    def input(self, position: int) -> str | None:
        """The name of the input at `position`; None where it is omitted."""
        return self.inputs[position] or None if position < len(self.inputs) else None

    def type(self, position: int = 0) -> Type:
        """The type of the output at `position`."""
        type_ = self.types[position]
        assert type_ is not None, f"{self.name} has no output {position}"
        return type_

    def ints(self, key: str) -> tuple[int, ...] | None:
        """The attribute `key` as ints; None where it is absent."""
        value = self.attrs.get(key)
        if value is None:
            return None
        assert isinstance(value, tuple), f"{self.op}.{key} is not a list"
        return tuple(int(v) for v in value)

    def integer(self, key: str, default: int) -> int:
        """The attribute `key` as an int."""
        value = self.attrs.get(key, default)
        assert isinstance(value, int), f"{self.op}.{key} is not an int"
        return value

    def number(self, key: str, default: float) -> float:
        """The attribute `key` as a float."""
        value = self.attrs.get(key, default)
        assert isinstance(value, int | float), f"{self.op}.{key} is not a number"
        return float(value)

    def text(self, key: str, default: str) -> str:
        """The attribute `key` as a string."""
        value = self.attrs.get(key, default)
        assert isinstance(value, str), f"{self.op}.{key} is not a string"
        return value

    def only_first_output(self) -> None:
        """Unsupported where the model reads any output but the first."""
        if any(self.outputs[1:]):
            raise Unsupported(
                f"only the first of its outputs is supported, not {', '.join(filter(None, self.outputs[1:]))}"
            )


def axis_of(axis: int, rank: int) -> int:
    """`axis` counted from the front; Unsupported where there is no such axis. A scalar has the axis 0."""
    if not -max(rank, 1) <= axis < max(rank, 1):
        raise Unsupported(f"its axis {axis} is not among the {rank} axes of its input")
    return axis + rank if axis < 0 else axis


def axes_of(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """`axes` counted from the front, in ascending order, each once."""
    return tuple(sorted({axis_of(axis, rank) for axis in axes}))
