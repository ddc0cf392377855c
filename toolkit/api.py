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
    from ..compiler.compile import Options
    from ..compiler.fusion import Level


def compile(
    path: str | os.PathLike[str],
    target: str = "host",
    fusion: str = "full",
    threads: int = 1,
    bands: bool = True,
    shapes: Mapping[str, Sequence[int]] | None = None,
    winograd: bool = True,
    schedules: str | os.PathLike[str] | None = None,
) -> Bundle:
    """Compiles an ONNX file, or `zoo:NAME`, for a target; a bundle that this machine can run has a `model.so`.

    `fusion` is none, basic or full; `threads` is 1 to 8; `shapes` gives inputs with dynamic dimensions theirs.
    `winograd` lets 3x3 convolutions run by Winograd's F(4x4, 3x3) where that is faster; off, sums are a digit more exact.
    `schedules` is a table that `fusekit tune` wrote; without one, the choices that come with fusekit for the target are used.
    Raises UserError for a file that is no model, an unsupported op, an unknown target, a dimension not given, and
    arguments of other types.
    """
    from ..compiler.compile import Options
    from ..compiler.schedule_table import read_table
    from .bundle_cache import find_or_compile
    from .zoo_model import model_path

    given = cast("Mapping[str, tuple[int, ...]]", {} if shapes is None else shapes)
    table = None if schedules is None else read_table(Path(schedules))
    options = Options(target, cast("Level", fusion), threads, bands, given, winograd, table).checked()
    with model_path(path) as file:
        return find_or_compile(file, options, _compiled)


def load(source: Bundle | str | os.PathLike[str]) -> Model:
    """A bundle, or the folder of one, ready to run in this process.

    Weights of a folder are mapped from its file and shared by processes.
    Raises UserError for a folder that is no bundle and for a bundle that this CPU cannot run.
    """
    from ..compiler.bundle import Bundle

    if isinstance(source, Bundle):
        return Model(_with_shared_library(source), weights_path=_cached_weights(source))
    folder = Path(source)
    return Model(_with_shared_library(Bundle.read(folder)), weights_path=folder / "weights.bin")


def _cached_weights(bundle: Bundle) -> Path | None:
    """The file of the cache that holds the bundle's weights, to be shared by processes; it may have had to make room."""
    path = None if bundle.cached_in is None else bundle.cached_in / "weights.bin"
    return path if path is not None and path.is_file() else None


def _compiled(path: Path, options: Options) -> Bundle:
    from ..compiler.compile import compile_model

    return _with_shared_library(compile_model(path, options))


def _with_shared_library(bundle: Bundle) -> Bundle:
    if "model.so" in bundle.files or not bundle.manifest.target.triple.startswith(platform.machine()):
        return bundle
    from .link import link_shared

    return bundle.with_file("model.so", link_shared(bundle.files["model.o"]))
