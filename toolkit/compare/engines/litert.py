"""LiteRT (TensorFlow Lite) with its XNNPACK delegate, on the .tflite file that the ONNX model was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine import Job, NotAvailable, Run


@dataclass(frozen=True)
class LiteRt:
    """The interpreter of the `ai-edge-litert` package."""

    modules = ("ai_edge_litert.interpreter",)
    distributions = ("ai-edge-litert",)

    def load(self, job: Job) -> Run:
        from ai_edge_litert.interpreter import Interpreter

        if job.tflite is None:
            raise NotAvailable("there is no .tflite original beside the model: name it with --tflite")
        interpreter = Interpreter(model_path=str(job.tflite), num_threads=job.threads)
        interpreter.allocate_tensors()
        inputs = _by_name(interpreter.get_input_details(), tuple(job.feeds), "input")
        for (name, array), tensor in zip(job.feeds.items(), inputs, strict=True):
            if tuple(tensor["shape"]) != array.shape:
                raise NotAvailable(
                    f"{job.tflite.name} takes {name} as {list(map(int, tensor['shape']))} where the model takes "
                    f"{list(array.shape)}"
                )
            interpreter.set_tensor(tensor["index"], array)
        outputs = [
            tensor["index"] for tensor in _by_name(interpreter.get_output_details(), job.outputs, "output")
        ]

        def run() -> list[np.ndarray]:
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in outputs]

        return run


def _by_name(tensors: list[dict[str, Any]], names: tuple[str, ...], kind: str) -> list[dict[str, Any]]:
    """The tensors in the order of the ONNX names; in their own order where the names differ."""
    if len(tensors) != len(names):
        raise NotAvailable(f"the .tflite file has {len(tensors)} {kind}s where the model has {len(names)}")
    found = {tensor["name"]: tensor for tensor in tensors}
    return [found[name] for name in names] if found.keys() == set(names) else tensors
