"""Nets that fusekit builds itself, with seeded weights: the same bytes on every machine."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from ...errors import UserError
from .blazeface_like import blazeface_like
from .ds_cnn import ds_cnn
from .efficientnet_lite import efficientnet_lite0
from .face_landmark_like import face_landmark_like
from .mobilenet_v1 import mobilenet_v1
from .mobilenet_v2 import mobilenet_v2
from .mobilenet_v3 import mobilenet_v3_large
from .resnet import resnet18, resnet50
from .shufflenet_v2 import shufflenet_v2
from .squeezenet import squeezenet
from .unet import unet, unet_resize
from .vit import vit_tiny

_NETS = (
    blazeface_like,
    ds_cnn,
    efficientnet_lite0,
    face_landmark_like,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3_large,
    resnet18,
    resnet50,
    shufflenet_v2,
    squeezenet,
    unet,
    unet_resize,
    vit_tiny,
)

ZOO: Mapping[str, Callable[[], onnx.ModelProto]] = {net.__name__: net for net in _NETS}
"""Name to the function that builds the model."""


def export(name: str, path: Path) -> Path:
    """Write the net called `name` to `path` as an ONNX file, in a folder that may be new, and return `path`.

    UserError where there is no such net.
    """
    if name not in ZOO:
        close = difflib.get_close_matches(name, ZOO, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"the zoo has no net {name}, only {', '.join(ZOO)}{hint}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ZOO[name]().SerializeToString(deterministic=True))
    return path
