"""ONNX Runtime on its CPU provider."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine import Job, Run


@dataclass(frozen=True)
class OnnxRuntime:
    """With all of its graph optimisations, or with none of them."""

    optimised: bool = True
    modules = ("onnxruntime",)
    distributions = ("onnxruntime",)

    def load(self, job: Job) -> Run:
        import onnxruntime as ort

        options = ort.SessionOptions()
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if self.optimised else levels.ORT_DISABLE_ALL
        options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        options.log_severity_level = 4
        session = ort.InferenceSession(job.model, options, providers=["CPUExecutionProvider"])
        names, feeds = list(job.outputs), dict(job.feeds)
        return lambda: session.run(names, feeds)
