"""Records as pandas frames: one row a sample, or one row a kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..measure.record import RunRecord


def sample_frame(records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a sample: model, device, target, fusion, threads, session, round, ns."""
    rows = [
        (r.model, r.device.name, r.target, r.fusion, r.threads, r.session, number, ns)
        for r in records
        for number, samples in enumerate(r.samples_ns or ())
        for ns in samples
    ]
    columns = ["model", "device", "target", "fusion", "threads", "session", "round", "ns"]
    return pd.DataFrame(rows, columns=columns)


def kernel_frame(record: RunRecord) -> pd.DataFrame:
    """One row a step, in order: label, ops, flops, bytes and time_ns, the median over the profiled runs."""
    times = np.median(np.asarray(record.steps_ns, np.float64), axis=0)
    return pd.DataFrame(
        {
            "label": [kernel.label for kernel in record.kernels],
            "ops": [" + ".join(kernel.ops) for kernel in record.kernels],
            "flops": [kernel.flops for kernel in record.kernels],
            "bytes": [kernel.bytes for kernel in record.kernels],
            "time_ns": times,
        }
    )
