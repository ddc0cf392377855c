"""Summary: what full fusion would make of a model, known from its graph and its plan before any code is generated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .compile import Options, Stages, form_groups, lower_graph
from .graph import Graph
from .importers.onnx import import_onnx
from .passes import canonicalise
from .target import TARGETS

LARGEST = 5
"""How many of the intermediate values a summary lists."""


@dataclass(frozen=True)
class Value:
    """An input, an output or an intermediate value; `node` is the model's name of what makes it, empty for an input."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    node: str


@dataclass(frozen=True)
class Summary:
    """A model and what becomes of it on one target with full fusion and one thread."""

    name: str
    target: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    ops: Mapping[str, int]
    """Nodes of the canonical graph by op, the most frequent first."""
    flops: int
    """Multiplications and additions of the anchors in one inference."""
    weights_bytes: int
    arena_bytes: int
    scratch_bytes: int
    kernels: Mapping[str, int]
    """Kernels at each level of fusion."""
    largest: tuple[Value, ...]
    """The largest values that one kernel leaves in memory for another, the largest first."""
    targets: tuple[str, ...]
    """Every target that the model compiles for: what is supported depends on none of them."""


def summarise(
    path: Path, target: str = "host", shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Summary:
    """The summary of the ONNX model at `path`; `shapes` are as in `Options`. UserError where compiling it would raise one."""
    options = Options(target=target, shapes=shapes or {})
    graph = canonicalise(import_onnx(path, options.shapes))
    stages = lower_graph(graph, options)
    nodes = {value: group.nodes[-1] for group in stages.fused.groups for value in group.writes()}
    nodes |= {node.output: node.name or node.output for node in graph.nodes}

    def values(names: tuple[str, ...]) -> tuple[Value, ...]:
        types = (stages.placed.types[name] for name in names)
        return tuple(
            Value(name, type_.dtype, type_.shape, type_.nbytes, nodes.get(name, ""))
            for name, type_ in zip(names, types, strict=True)
        )

    return Summary(
        name=graph.name,
        target=stages.target.name,
        inputs=values(graph.inputs),
        outputs=values(graph.outputs),
        ops=dict(Counter(sorted(node.op for node in graph.nodes)).most_common()),
        flops=sum(stage.flops for group in stages.fused.groups for stage in group.stages),
        weights_bytes=len(stages.plan.weights),
        arena_bytes=stages.plan.arena_bytes,
        scratch_bytes=stages.plan.scratch_bytes,
        kernels={
            "none": _kernels(graph, replace(options, fusion="none")),
            "basic": _kernels(graph, replace(options, fusion="basic")),
            "full": len(stages.fused.groups),
        },
        largest=values(_largest(stages)),
        targets=tuple(TARGETS),
    )


def _kernels(graph: Graph, options: Options) -> int:
    return len(form_groups(graph, options)[1].groups)


def _largest(stages: Stages) -> tuple[str, ...]:
    """Names of the values with the most bytes in the arena."""
    homes = {
        stages.placed.storage[binding.buffer]: None
        for step in stages.plan.steps
        for binding, place in zip(step.lowered.bindings, step.arguments, strict=True)
        if place.where == "arena"
    }
    return tuple(sorted(homes, key=lambda home: -stages.placed.types[home].nbytes)[:LARGEST])
