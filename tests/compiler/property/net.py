"""Net: a graph in the making, with a bound on every value and on its rounding error, so that tolerances are derived and not tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusekit.compiler.graph import Attribute, Graph, Node, Type, verify

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Known:
    """What is known of a value: the largest magnitude of its elements, and how far two float32 evaluations of it may be apart."""

    bound: float
    error: float = 0.0


@dataclass(frozen=True)
class Case:
    """A graph with inputs to run it on and the tolerance of each output."""

    graph: Graph
    feeds: dict[str, Array]
    tolerances: dict[str, float]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(f"Case of {len(self.graph.nodes)} nodes")

    def __str__(self) -> str:
        constants = [f"  const  {name}: {self.graph.types[name]}" for name in self.graph.constants]
        return "\n".join([str(self.graph), *constants])


class Net:
    """Nodes, types and values of a graph; random data comes from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Node] = []
        self.types: dict[str, Type] = {}
        self.constants: dict[str, Array] = {}
        self.inputs: dict[str, Array] = {}
        self.known: dict[str, Known] = {}
        self.marked: set[str] = set()

    def shape(self, value: str) -> tuple[int, ...]:
        """Shape of a value."""
        return self.types[value].shape

    def input(self, *shape: int, bound: float = 2.0) -> str:
        """A new model input with uniform elements."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = self.random.uniform(-bound, bound, shape).astype(np.float32)
        self.types[name], self.known[name] = Type("float32", shape), Known(bound)
        return name

    def constant(self, data: Array | float | Sequence[float]) -> str:
        """A new constant."""
        name, array = f"c{len(self.constants)}", np.asarray(data, np.float32)
        self.constants[name] = array
        self.types[name] = Type("float32", array.shape)
        self.known[name] = Known(float(np.abs(array).max(initial=0.0)))
        return name

    def uniform(self, *shape: int, bound: float = 1.0) -> str:
        """A new constant with uniform elements."""
        return self.constant(self.random.uniform(-bound, bound, shape))

    def node(
        self, op: str, inputs: Sequence[str], shape: Sequence[int], known: Known, **attrs: Attribute
    ) -> str:
        """The output of a new node."""
        dtype = "bool" if op == "Less" else "float32"
        output = f"v{len(self.nodes)}"
        self.nodes.append(Node(op, tuple(inputs), output, tuple(attrs.items()), f"{op}_{len(self.nodes)}"))
        self.types[output], self.known[output] = Type(dtype, tuple(map(int, shape))), known
        return output

    def output(self, value: str) -> None:
        """Make `value` an output of the graph."""
        self.marked.add(value)

    def case(self) -> Case:
        """The graph, whose outputs are the marked values and all that nothing reads."""
        read = {value for node in self.nodes for value in node.inputs}
        outputs = tuple(n.output for n in self.nodes if n.output in self.marked or n.output not in read)
        used = {name: data for name, data in self.constants.items() if name in read}
        inputs = tuple(name for name in self.inputs if name in read)
        types = {
            n: t
            for n, t in self.types.items()
            if n not in self.constants and n not in self.inputs or n in read
        }
        graph = verify(Graph("random", inputs, outputs, tuple(self.nodes), types, used))
        tolerances = {name: 4 * self.known[name].error + 1e-30 for name in outputs}
        return Case(graph, {name: self.inputs[name] for name in inputs}, tolerances)
