"""OpenVINO's CPU plugin, held to float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..engine import Job, Run


@dataclass(frozen=True)
class OpenVino:
    """One stream tuned for latency."""

    modules = ("openvino",)
    distributions = ("openvino",)

    def load(self, job: Job) -> Run:
        import openvino as ov

        core = ov.Core()
        model = core.read_model(job.model)
        if model.is_dynamic():
            model.reshape({name: list(array.shape) for name, array in job.feeds.items()})
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": job.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "CPU_DENORMALS_OPTIMIZATION": True,
        }
        compiled = core.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        for name, array in job.feeds.items():
            request.set_tensor(name, ov.Tensor(array, shared_memory=True))
        tensors = [request.get_tensor(name) for name in job.outputs]

        def run() -> list[np.ndarray]:
            request.infer()
            return [tensor.data for tensor in tensors]

        return run
