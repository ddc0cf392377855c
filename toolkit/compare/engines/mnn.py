"""MNN, by way of its converter."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..engine import Job, NotAvailable, Run

CONVERSION_S = 240
CONVERTER = "import sys, _tools; _tools.mnnconvert(sys.argv)"
"""What its command does without its wrapper in Python, which installs packages and reports every conversion to its makers."""


@dataclass(frozen=True)
class Mnn:
    """A session of the CPU backend at precision high, which is float32."""

    modules = ("MNN",)
    distributions = ("MNN",)

    def load(self, job: Job) -> Run:
        import MNN

        interpreter = MNN.Interpreter(str(_convert(job)))
        session = interpreter.createSession({"numThread": job.threads, "backend": "CPU", "precision": "high"})
        layout = MNN.Tensor_DimensionType_Caffe
        inputs = {name: interpreter.getSessionInput(session, name) for name in job.feeds}
        for name, tensor in inputs.items():
            interpreter.resizeTensor(tensor, tuple(job.feeds[name].shape))
        interpreter.resizeSession(session)
        arrays = {name: _array(array) for name, array in job.feeds.items()}
        # a host tensor points into its array
        copies = [(tensor, arrays[name], _host_tensor(arrays[name])) for name, tensor in inputs.items()]
        found = interpreter.getSessionOutputAll(session)
        if set(found) != set(job.outputs):
            raise NotAvailable("its converter gave the model other outputs")
        outputs = [found[name] for name in job.outputs]
        # inside, channels lie in blocks of four: copying to these arranges them as ONNX does
        hosts = [MNN.Tensor(tensor.getShape(), tensor.getDataType(), layout) for tensor in outputs]

        def run() -> list[np.ndarray]:
            # a run leaves other values in the memory of its inputs
            for tensor, _, host in copies:
                tensor.copyFrom(host)
            interpreter.runSession(session)
            for tensor, host in zip(outputs, hosts, strict=True):
                tensor.copyToHostTensor(host)
            return [np.asarray(host.getNumpyData()).reshape(host.getShape()) for host in hosts]

        return run


def _array(array: np.ndarray) -> np.ndarray:
    """MNN's only integers have 32 bits."""
    return array if array.dtype.kind == "f" else array.astype(np.int32)


def _host_tensor(array: np.ndarray) -> Any:
    """The array as an MNN.Tensor in ONNX's layout."""
    import MNN

    kind = MNN.Halide_Type_Float if array.dtype.kind == "f" else MNN.Halide_Type_Int
    return MNN.Tensor(array.shape, kind, array, MNN.Tensor_DimensionType_Caffe)


def _convert(job: Job) -> Path:
    model = job.folder / "model.mnn"
    done = subprocess.run(
        [sys.executable, "-c", CONVERTER, "-f", "ONNX", "--bizCode", "fusekit"]
        + ["--modelFile", str(job.model), "--MNNModel", str(model)],
        capture_output=True,
        check=False,
        timeout=CONVERSION_S,
    )
    if done.returncode or not model.is_file():
        raise NotAvailable(f"its converter failed with exit code {done.returncode}")
    return model
