"""Many elementwise ops as one graph, run by the real runner on any target that this machine can run or emulate."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph, Node, Type
from fusekit.compiler.target import find_target

from ...emulated.run_bundles import run_bundles
from ...machine.elf_symbols import undefined_symbols
from .definition import Array

TARGETS = ("x86-64-v2", "x86-64-v3", "cortex-a53", "cortex-a76")


@dataclass(frozen=True)
class Call:
    """An op on arrays that broadcast; the type is that of the result."""

    op: str
    inputs: tuple[Array, ...]
    type: Type
    attrs: Mapping[str, Any] = field(default_factory=dict)


def run_on(target: str, calls: Sequence[Call], folder: Path) -> list[Array]:
    """The results of `calls` on `target`, one kernel a call; skips where this machine can neither run nor emulate it."""
    graph, feeds = graph_of(calls)
    return run(bundle_of(graph, target), feeds, folder)


def bundle_of(graph: Graph, target: str) -> Bundle:
    """`graph` compiled with a kernel for every node, none of which calls anything."""
    options = Options(target, "none")
    bundle = assemble_bundle(lower_graph(graph, options), options, model_sha256="")
    assert undefined_symbols(bundle.files["model.o"]) == [], "an op calls a function of a library"
    return bundle


def run(bundle: Bundle, feeds: Mapping[str, Array], folder: Path) -> list[Array]:
    """The outputs in order, natively or from an emulator."""
    row = find_target(bundle.manifest.target.name)
    if row.arch == "x86_64" and not _is_native(row.features):
        pytest.skip(f"host: {row.name} code needs a CPU that has its instructions")
    cpu = row.qemu_cpu if platform.machine() not in ("aarch64", "arm64") else None
    done = run_bundles([bundle], folder, cpu, feeds=feeds)
    assert done.exit_code == 0, done.messages
    return [done.outputs[0][output.name] for output in bundle.manifest.outputs]


def graph_of(calls: Sequence[Call]) -> tuple[Graph, dict[str, Array]]:
    """The graph with an input for every array, however many calls have one that is equal."""
    names: dict[tuple[str, bytes], str] = {}
    feeds: dict[str, Array] = {}
    types: dict[str, Type] = {}
    nodes = []
    for number, call in enumerate(calls):
        inputs = []
        for array in call.inputs:
            name = names.setdefault((array.dtype.name, array.tobytes()), f"x{len(names)}")
            feeds[name] = array
            types[name] = Type(array.dtype.name, array.shape)
            inputs.append(name)
        output = f"y{number}"
        types[output] = call.type
        attrs = tuple(sorted(call.attrs.items()))
        nodes.append(Node(call.op, tuple(inputs), output, attrs, f"{call.op}_{number}"))
    outputs = tuple(node.output for node in nodes)
    return Graph("functions", tuple(feeds), outputs, tuple(nodes), types, {}), feeds


def _is_native(features: Sequence[str]) -> bool:
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return set(features) <= set(next(line for line in lines if line.startswith("flags")).split())
