"""The machine code of one layer: a net's kernel for a target, as an assembly listing."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from fusekit.compiler.compile import Options, Stages, lower_graph
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.kernel import Kernel
from fusekit.compiler.kernel_cache import kernel_text
from fusekit.compiler.objects import listing
from fusekit.compiler.passes import canonicalise

from .nets import NARROW, NETS, save

LAYERS = {"conv", "gemm"}
"""Names of the nodes whose kernels are looked at."""


def stages_of(net: str, target: str) -> Stages:
    """The net, compiled up to its kernels; bands would join the layer to its neighbours."""
    with tempfile.TemporaryDirectory() as folder:
        graph = import_onnx(save({**NETS, **NARROW}[net](), Path(folder, "net.onnx")), {})
    return lower_graph(canonicalise(graph), Options(target=target, bands=False, winograd=False))


def kernel_of(net: str, target: str) -> Kernel:
    """The kernel that computes the net's layer."""
    stages = stages_of(net, target)
    found = [
        lowered.kernel
        for group, lowered in zip(stages.fused.groups, stages.lowered, strict=True)
        if LAYERS & set(group.nodes)
    ]
    assert len(found) == 1, f"{net} has {len(found)} kernels for its layer"
    return found[0]


@cache
def listing_of(net: str, target: str) -> str:
    """The kernel's assembly."""
    kernel = kernel_of(net, target)
    return listing(kernel_text(kernel), kernel.target)
