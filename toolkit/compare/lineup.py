"""The engines by the names that people type."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from ...compiler.fusion import LEVELS
from ...errors import UserError
from .engine import Engine
from .engines.fusekit import Fusekit
from .engines.litert import LiteRt
from .engines.mnn import Mnn
from .engines.ncnn import Ncnn
from .engines.onnxruntime import OnnxRuntime
from .engines.openvino import OpenVino

OURS = "fusekit-"
PEERS = ("onnxruntime", "openvino", "litert", "ncnn", "mnn")
ENGINES: Mapping[str, Engine] = {
    "onnxruntime": OnnxRuntime(),
    "onnxruntime-none": OnnxRuntime(optimised=False),
    "openvino": OpenVino(),
    "litert": LiteRt(),
    "ncnn": Ncnn(),
    "mnn": Mnn(),
    **{f"{OURS}{level}": Fusekit(level) for level in LEVELS},
}


def lineup(level: str, names: Sequence[str]) -> dict[str, Engine]:
    """fusekit at `level` first, then the named engines without repetition; raises UserError for an unknown name."""
    chosen = {f"{OURS}{level}": ENGINES[f"{OURS}{level}"]}
    for name in names:
        if name not in ENGINES:
            near = difflib.get_close_matches(name, ENGINES, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UserError(f"unknown engine '{name}': {hint}engines are {', '.join(ENGINES)}")
        chosen[name] = ENGINES[name]
    return chosen
