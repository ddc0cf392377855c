"""One file per anchor: how its output region is computed in registers."""

from __future__ import annotations

from collections.abc import Mapping

from .contraction import emit_contraction
from .dot import emit_dot
from .pointwise import emit_pointwise
from .reduce import emit_reduce
from .region import EmitAnchor
from .window import emit_window

ANCHORS: Mapping[str, EmitAnchor] = {
    "contraction": emit_contraction,
    "dot": emit_dot,
    "depthwise": emit_window,
    "pool": emit_window,
    "reduce": emit_reduce,
    "pointwise": emit_pointwise,
}
