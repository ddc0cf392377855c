"""Activations that exporters spell out, replaced by the one elementwise op that they are.

A value is written as a term over the value `x` that it is a function of: products and sums are flattened, with their constant factor or
addend first and the rest sorted, so that ``x * clip(x + 3, 0, 6) / 6`` is the same term in whichever order the model multiplies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isclose, pi, prod, sqrt

from ..graph import Attribute, Graph, Node
from .remove_dead_nodes import remove_dead_nodes

Term = str | float | tuple["Term", ...]

X: Term = "x"
DEPTH = 8
"""How many nodes a composite is deep at most."""


def _product(factor: float, *terms: Term) -> Term:
    return ("product", factor, *sorted(terms, key=repr))


def _sum(addend: float, *terms: Term) -> Term:
    return ("sum", addend, *sorted(terms, key=repr))


_SHIFTED_RELU6: Term = ("Clip", 0.0, 6.0, _sum(3.0, X))
_CUBIC = _product(sqrt(2 / pi), _sum(0.0, X, _product(0.044715, X, X, X)))

COMPOSITES: tuple[tuple[Term, str, Mapping[str, Attribute]], ...] = (
    (_product(1.0, X, ("Sigmoid", X)), "Swish", {}),
    (_product(1 / 6, X, _SHIFTED_RELU6), "HardSwish", {}),
    (_product(1.0, X, ("HardSigmoid", 1 / 6, 0.5, X)), "HardSwish", {}),
    (_product(1 / 6, _SHIFTED_RELU6), "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    (_product(0.5, X, _sum(1.0, ("Erf", _product(sqrt(0.5), X)))), "Gelu", {}),
    (_product(0.5, X, _sum(1.0, ("Tanh", _CUBIC))), "Gelu", {"approximate": "tanh"}),
    (_product(1.0, X, ("Tanh", ("Softplus", X))), "Mish", {}),
)
"""Term, and the op and attributes that it is."""

PARTS = frozenset({"Add", "Clip", "Div", "Erf", "HardSigmoid", "Mul", "Pow", "Sigmoid", "Softplus", "Tanh"})
"""The ops that composites are spelled with: what is made by any other is where a composite begins, not a part of one."""


def name_composites(graph: Graph) -> Graph:
    """`graph` with every composite as one node; what it was made of goes where nothing else reads it."""
    producers: dict[str, Node] = {}
    for node in graph.nodes:
        producers[node.output] = _named(node, producers, graph) if node.op in ("Mul", "Div") else node
    return remove_dead_nodes(replace(graph, nodes=tuple(producers.values())))


def _named(node: Node, producers: Mapping[str, Node], graph: Graph) -> Node:
    producers = {**producers, node.output: node}
    for source in _sources(node, producers):
        term = _term(node.output, source, producers, graph)
        for pattern, op, attrs in COMPOSITES:
            if _equal(term, pattern) and graph.types[source] == graph.types[node.output]:
                return Node(op, (source,), node.output, tuple(sorted(attrs.items())), node.name)
    return node


def _sources(node: Node, producers: Mapping[str, Node]) -> Iterator[str]:
    """The values that `node` may be a function of, nearest first."""
    seen: set[str] = set()
    level = [node.output]
    for _ in range(DEPTH):
        parts = [producers[name] for name in level if name in producers and producers[name].op in PARTS]
        level = [value for node in parts for value in node.inputs]
        level = [value for value in dict.fromkeys(level) if value not in seen]
        seen.update(level)
        yield from level


def _term(
    value: str, source: str, producers: Mapping[str, Node], graph: Graph, depth: int = DEPTH
) -> Term | None:
    """`value` as a term over `source`; None where it is no function of that alone."""
    if value == source:
        return X
    constant = graph.constants.get(value)
    if constant is not None and constant.size == 1:
        return float(constant.reshape(-1)[0])
    node = producers.get(value)
    if node is None or depth == 0 or node.op not in PARTS:
        return None
    terms: list[Term] = []
    for read in node.inputs:
        part = _term(read, source, producers, graph, depth - 1)
        if part is None:
            return None
        terms.append(part)
    match node.op, terms:
        case "Mul", _:
            return _flat("product", terms)
        case "Div", [numerator, float(divisor)] if divisor:
            return _flat("product", [numerator, 1 / divisor])
        case "Add", _:
            return _flat("sum", terms)
        case "Pow", [base, float(exponent)] if exponent in (2.0, 3.0):
            return _flat("product", [base] * int(exponent))
        case "Clip", [operand]:
            bounds = dict(node.attrs)
            return ("Clip", _number(bounds.get("low", "-inf")), _number(bounds.get("high", "inf")), operand)
    return (node.op, *(_number(attribute) for _, attribute in node.attrs), *terms)


def _number(attribute: Attribute) -> Term:
    return str(attribute) if isinstance(attribute, str | tuple) else float(attribute)


def _flat(kind: str, terms: list[Term]) -> Term:
    """A product or sum with nested ones merged into it and all its constants made one."""
    constants: list[float] = []
    rest: list[Term] = []
    for term in terms:
        parts = term[1:] if isinstance(term, tuple) and term[0] == kind else (term,)
        constants += [part for part in parts if isinstance(part, float)]
        rest += [part for part in parts if not isinstance(part, float)]
    return (
        _product(prod(constants, start=1.0), *rest) if kind == "product" else _sum(sum(constants, 0.0), *rest)
    )


def _equal(a: Term | None, b: Term) -> bool:
    """Whether two terms are the same, numbers to float32's precision."""
    if isinstance(a, float) and isinstance(b, float):
        return isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b
