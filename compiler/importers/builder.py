"""Builder: the Graph that an importer is making, one canonical node at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx.helper

from ..elementwise import TABLE
from ..graph import ANCHORS, REDUCTIONS, Attribute, Node, Type
from ..interpret_graph import NUMPY
from .check_shapes import broadcast, check_shapes
from .onnx_node import OnnxNode, Unsupported

DTYPES = frozenset({"bool", "float32", "int32", "int64", "int8", "uint8"})
"""Element types of values that are computed at run time; Resize and the anchors other than reductions take and give float32."""


@dataclass
class Builder:
    """Types of all values so far, data of the constant ones, and the nodes emitted; `reserved` are names that the model has use for."""

    reserved: frozenset[str] = frozenset()
    types: dict[str, Type] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of `value`."""
        return self.types[value].shape

    def add_constant(self, name: str, data: np.ndarray) -> str:
        """Record a constant under `name`, which is returned."""
        assert name not in self.types, f"{name} is made twice"
        # A ufunc makes a scalar of 0-d arrays.
        self.constants[name] = np.asarray(data)
        self.types[name] = Type(data.dtype.name, tuple(data.shape))
        return name

    def constant(self, node: OnnxNode, label: str, data: np.ndarray | float) -> str:
        """A float32 constant that belongs to `node`."""
        return self.add_constant(self.fresh(node, label), np.asarray(data, np.float32))

    def data(self, node: OnnxNode, position: int, what: str) -> np.ndarray:
        """The data of an input that must be constant; Unsupported where it is not."""
        value = node.input(position)
        if value is None or value not in self.constants:
            raise Unsupported(f"its {what} must be constant")
        return self.constants[value]

    def scalar(self, node: OnnxNode, position: int, what: str) -> float:
        """The one element of an input that must be constant."""
        data = self.data(node, position, what)
        if data.size != 1:
            raise Unsupported(f"its {what} must have one element, not the shape {data.shape}")
        return float(data.item())

    def ints(self, node: OnnxNode, key: str, position: int) -> tuple[int, ...] | None:
        """The ints of attribute `key` or, in later opsets, of the constant input at `position`; None where both are absent."""
        from_attribute = node.ints(key)
        if from_attribute is not None or node.input(position) is None:
            return from_attribute
        return tuple(int(v) for v in self.data(node, position, f"`{key}` input").reshape(-1))

    def step(
        self,
        node: OnnxNode,
        label: str,
        op: str,
        inputs: Sequence[str],
        shape: tuple[int, ...] | None = None,
        /,
        **attrs: Attribute,
    ) -> str:
        """Emit an inner node of what `node` becomes; `shape` None is the broadcast of the inputs. Returns its value's name."""
        if shape is None:
            shape = broadcast([self.shape(value) for value in inputs])
        return self.typed_step(node, label, op, inputs, Type(self.types[inputs[0]].dtype, shape), **attrs)

    def typed_step(
        self,
        node: OnnxNode,
        label: str,
        op: str,
        inputs: Sequence[str],
        type_: Type,
        /,
        **attrs: Attribute,
    ) -> str:
        """`step` for an op that does not give the element type it takes."""
        name = self.fresh(node, label)
        self.types[name] = type_
        self._emit(Node(op, tuple(inputs), name, _sorted(attrs), f"{node.name}/{label}"))
        return name

    def finish(
        self, node: OnnxNode, op: str, inputs: Sequence[str], output: int = 0, /, **attrs: Attribute
    ) -> None:
        """Emit the node that makes output number `output` of `node`."""
        self.types[node.outputs[output]] = node.type(output)
        name = node.name if len(node.outputs) == 1 or not output else f"{node.name}/{output}"
        self._emit(Node(op, tuple(inputs), node.outputs[output], _sorted(attrs), name))

    def _emit(self, node: Node) -> None:
        if node.op not in NUMPY and node.op not in TABLE:
            raise Unsupported(f"it needs the elementwise operator {node.op}, which fusekit does not have")
        if node.op in ANCHORS - REDUCTIONS or node.op == "Resize":
            for value in (*node.inputs, node.output):
                if (dtype := self.types[value].dtype) != "float32":
                    raise Unsupported(f"its operands must be float32, not {dtype}")
        check_shapes(node, self.types)
        self.nodes.append(node)

    def fresh(self, node: OnnxNode, label: str) -> str:
        """A name that nothing has yet, for a value that belongs to `node`."""
        name = stem = f"{node.outputs[0]}/{label}"
        count = 1
        while name in self.types or name in self.reserved:
            count += 1
            name = f"{stem}{count}"
        return name


def onnx_number(dtype: str) -> int:
    """ONNX's number of an element type."""
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _sorted(attrs: dict[str, Attribute]) -> tuple[tuple[str, Attribute], ...]:
    return tuple(sorted(attrs.items()))
