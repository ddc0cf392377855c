"""ncnn, by way of its converter pnnx."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..engine import Job, NotAvailable, Run

CONVERSION_S = 240
PARAM, BIN = "model.ncnn.param", "model.ncnn.bin"


@dataclass(frozen=True)
class Ncnn:
    """The network of pnnx with every 16-bit format off. Its blobs have no batch axis."""

    converted: bool = False
    """Whether what pnnx made of the model lies beside it already."""

    @property
    def modules(self) -> tuple[str, ...]:
        return self.distributions

    @property
    def distributions(self) -> tuple[str, ...]:
        return ("ncnn",) if self.converted else ("ncnn", "pnnx")

    def load(self, job: Job) -> Run:
        import ncnn

        files = job.model.parent / PARAM if self.converted else convert(job)
        net = ncnn.Net()
        options = net.opt
        options.num_threads = job.threads
        options.use_vulkan_compute = False
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = False
        net.opt = options
        if net.load_param(str(files.with_suffix(".param"))) or net.load_model(str(files.with_suffix(".bin"))):
            raise NotAvailable("ncnn does not load what pnnx made of the model")
        # as pnnx calls them, by their number in the model; the network lists them in the order of its layers
        inputs = [f"in{number}" for number in range(len(job.feeds))]
        outputs = [f"out{number}" for number in range(len(job.outputs))]
        if sorted(net.input_names()) != sorted(inputs) or sorted(net.output_names()) != sorted(outputs):
            raise NotAvailable("pnnx gave the network other inputs or outputs than the model has")
        blobs = [ncnn.Mat(array[0] if array.ndim > 1 else array) for array in job.feeds.values()]

        def run() -> list[np.ndarray]:
            extractor = net.create_extractor()
            for name, blob in zip(inputs, blobs, strict=True):
                extractor.input(name, blob)
            return [np.array(extractor.extract(name)[1]) for name in outputs]

        return run


def convert(job: Job) -> Path:
    """Makes model.ncnn.param, which is returned, and .bin in the job's folder; raises NotAvailable."""
    # not imported: that would import PyTorch, which its program does without
    package = find_spec("pnnx")
    if package is None or package.origin is None:
        raise NotAvailable("the package pnnx is not installed: pip install 'fusekit[peers]'")
    # pnnx writes beside its input
    model = job.folder / "model.onnx"
    model.symlink_to(job.model.resolve())
    shapes = ",".join(_input_shape(array) for array in job.feeds.values())
    program = Path(package.origin).with_name("pnnx")
    done = subprocess.run(
        [str(program), str(model), f"inputshape={shapes}", "fp16=0"],
        cwd=job.folder,
        capture_output=True,
        check=False,
        timeout=CONVERSION_S,
    )
    if done.returncode or not (job.folder / BIN).is_file():
        raise NotAvailable(f"its converter pnnx failed with exit code {done.returncode}")
    return job.folder / PARAM


def _input_shape(array: np.ndarray) -> str:
    """As pnnx takes it: [1,3,224,224]f32."""
    kind = {"f": "f", "i": "i", "u": "u", "b": "i"}[array.dtype.kind]
    return f"[{','.join(map(str, array.shape))}]{kind}{8 * array.dtype.itemsize}"
