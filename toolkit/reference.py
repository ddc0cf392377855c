"""Seeded inputs, and what ONNX Runtime says of them: the answer that every number is checked against."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import UserError

if TYPE_CHECKING:
    from ..compiler.bundle import Manifest

Arrays = Mapping[str, npt.NDArray[np.generic]]


def seeded_inputs(manifest: Manifest, seed: int = 0) -> dict[str, npt.NDArray[np.generic]]:
    """Inputs by name in manifest order: floats uniform in [0, 1), integers in [0, 100), from `seed` alone."""
    random = np.random.default_rng(seed)
    feeds: dict[str, npt.NDArray[np.generic]] = {}
    for tensor in manifest.inputs:
        dtype = np.dtype(tensor.dtype)
        shape = tuple(tensor.shape)
        if dtype.kind == "f":
            feeds[tensor.name] = random.random(shape).astype(dtype)
        elif dtype.kind == "b":
            feeds[tensor.name] = random.integers(0, 2, shape).astype(dtype)
        else:
            feeds[tensor.name] = random.integers(0, 100, shape).astype(dtype)
    return feeds


def reference_outputs(model_path: Path, feeds: Arrays) -> dict[str, npt.NDArray[np.generic]]:
    """Outputs by name of ONNX Runtime with graph optimisation off: the model as it is written.

    Raises UserError where ONNX Runtime cannot load or run the model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
    except Exception as error:  # onnxruntime raises classes of its own that share no useful base
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"ONNX Runtime, the reference, cannot run {model_path}: {first_line} "
            f"(without its answer fusekit checks nothing and shows no number)"
        ) from error


def reference_name() -> str:
    """The reference and its version, as records carry it."""
    import onnxruntime as ort

    return f"onnxruntime {ort.__version__}, graph optimisation off"


def reference_file(manifest: Manifest, feeds: Arrays, want: Arrays) -> bytes:
    """Inputs and right answers as a file of a bundle, so that it can be verified without its model."""
    arrays = {f"input.{i}": feeds[tensor.name] for i, tensor in enumerate(manifest.inputs)}
    arrays |= {f"output.{i}": want[tensor.name] for i, tensor in enumerate(manifest.outputs)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_reference(path: Path, manifest: Manifest) -> tuple[Arrays, Arrays]:
    """Inputs and right outputs by name; raises UserError where the file is absent or another model's."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            feeds = {tensor.name: arrays[f"input.{i}"] for i, tensor in enumerate(manifest.inputs)}
            want = {tensor.name: arrays[f"output.{i}"] for i, tensor in enumerate(manifest.outputs)}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path.parent} holds no usable {path.name} to verify it by: make the bundle with `fusekit compile`, "
            f"or give its model with --model"
        ) from error
    return feeds, want
