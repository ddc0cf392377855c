"""`fusekit.compile` and `fusekit.load`: the compiler and the model in process, for Python callers."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .model import Model

if TYPE_CHECKING:
    from ..compiler.bundle import Bundle
    from ..compiler.fusion import Level


def compile(
    path: str | os.PathLike[str],
    target: str = "host",
    fusion: str = "full",
    threads: int = 1,
    bands: bool = True,
    shapes: Mapping[str, Sequence[int]] | None = None,
    winograd: bool = True,
) -> Bundle:
    """Compiles an ONNX file, or `zoo:NAME`, for a target; a bundle that this machine can run has a `model.so`.

    `fusion` is none, basic or full; `threads` is 1 to 8; `shapes` gives inputs with dynamic dimensions theirs.
    `winograd` lets 3x3 convolutions run by Winograd's F(4x4, 3x3) where that is faster; off, sums are a digit more exact.
    Raises UserError for a file that is no model, an unsupported op, an unknown target, a dimension not given, and
    arguments of other types.
    """
    from ..compiler.compile import Options, compile_model
    from .zoo_model import model_path

    given = cast("Mapping[str, tuple[int, ...]]", {} if shapes is None else shapes)
    options = Options(target, cast("Level", fusion), threads, bands, given, winograd).checked()
    with model_path(path) as file:
        return _with_shared_library(compile_model(file, options))


def load(source: Bundle | str | os.PathLike[str]) -> Model:
    """A bundle, or the folder of one, ready to run in this process.

    Weights of a folder are mapped from its file and shared by processes.
    Raises UserError for a folder that is no bundle and for a bundle that this CPU cannot run.
    """
    from ..compiler.bundle import Bundle

    if isinstance(source, Bundle):
        return Model(_with_shared_library(source))
    folder = Path(source)
    return Model(_with_shared_library(Bundle.read(folder)), weights_path=folder / "weights.bin")


def _with_shared_library(bundle: Bundle) -> Bundle:
    if "model.so" in bundle.files or not bundle.manifest.target.triple.startswith(platform.machine()):
        return bundle
    from .link import link_shared

    return bundle.with_file("model.so", link_shared(bundle.files["model.o"]))
