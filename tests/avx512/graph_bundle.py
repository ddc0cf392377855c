"""A graph compiled for x86-64-v4, without a model file."""

from __future__ import annotations

from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.fusion import Level
from fusekit.compiler.graph import Graph

TARGET = "x86-64-v4"


def graph_bundle(graph: Graph, level: Level = "full", threads: int = 1) -> Bundle:
    """The bundle that `graph` becomes."""
    options = Options(TARGET, level, threads)
    return assemble_bundle(lower_graph(graph, options), options, model_sha256="")
