"""Graph to Graph: the passes that leave the canonical graph, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Graph, verify
from .delay_resize import delay_resize
from .fold_batch_norm import fold_batch_norm
from .fold_constants import fold_constants
from .name_composites import name_composites
from .remove_dead_nodes import remove_dead_nodes
from .remove_identity_movement import remove_identity_movement
from .round_up_conv_transpose import round_up_conv_transpose
from .sink_transposes import sink_transposes
from .ungroup_channels import ungroup_channels

Pass = Callable[[Graph], Graph]

PASSES: tuple[Pass, ...] = (
    remove_identity_movement,
    fold_constants,
    ungroup_channels,
    sink_transposes,
    remove_identity_movement,
    fold_batch_norm,
    name_composites,
    delay_resize,
    round_up_conv_transpose,
    remove_identity_movement,
    remove_dead_nodes,
)


def canonicalise(graph: Graph) -> Graph:
    """`graph` after every pass, each checked; the same function of its inputs up to rounding."""
    for step in PASSES:
        graph = verify(step(graph))
    return graph
