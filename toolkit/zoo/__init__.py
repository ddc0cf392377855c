"""Nets that fusekit builds itself, with seeded weights: the same bytes on every machine."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from ...errors import UserError
from .face_landmark_like import face_landmark_like
from .mobilenet_v2 import mobilenet_v2

ZOO: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "face_landmark_like": face_landmark_like,
    "mobilenet_v2": mobilenet_v2,
}
"""Name to the function that builds the model."""


def export(name: str, path: Path) -> None:
    """Write the net called `name` to `path` as an ONNX file; UserError where there is no such net."""
    if name not in ZOO:
        close = difflib.get_close_matches(name, ZOO, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"the zoo has no net {name}, only {', '.join(sorted(ZOO))}{hint}")
    path.write_bytes(ZOO[name]().SerializeToString(deterministic=True))
