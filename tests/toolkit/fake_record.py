"""Records as a bench writes them, made from a seed, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fusekit.devices.device import Facts
from fusekit.toolkit.measure.check import OutputCheck
from fusekit.toolkit.measure.record import DeviceId, HostState, KernelRow, RunRecord, Settings

FACTS = Facts(
    arch="aarch64",
    model="Raspberry Pi 5 Model B Rev 1.0",
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="6.6.51",
    n_cpus=4,
    cpu_parts=("0xd0b",),
    features=("asimd", "asimddp"),
    memory_bytes=8 << 30,
    governor="performance",
    freq_khz=2_400_000,
    max_freq_khz=2_400_000,
    temperature_mc=48_000,
    throttled="0",
    load1=0.1,
)
HOST = HostState("aarch64", "0xd0b", 4, "performance", 2_400_000, 48_000, "0", 0.1)
LEVEL_NS = {"none": 21_000_000, "basic": 16_500_000, "full": 12_300_000}
BLOCK: dict[str, list[tuple[str, ...]]] = {
    "none": [("Conv",), ("Clip",), ("Conv",), ("Clip",), ("Conv",), ("Add",)],
    "basic": [("Conv", "Clip"), ("Conv", "Clip"), ("Conv",), ("Add",)],
    "full": [("Conv", "Clip", "Conv", "Clip"), ("Conv", "Add")],
}


def timed_record(
    fusion: str = "full",
    threads: int = 1,
    *,
    model: str = "mobilenet_v2",
    blocks: int = 17,
    session: str = "5e55",
) -> RunRecord:
    """A verified record of a Pi 5 with five rounds of samples."""
    random = np.random.default_rng([LEVEL_NS[fusion], threads])
    centre = LEVEL_NS[fusion] / threads**0.8
    samples = tuple(
        tuple(
            int(ns)
            for ns in centre * random.normal(1 + 0.01 * random.random(), 0.008, 8) + random.gamma(1.2, 6e4, 8)
        )
        for _ in range(5)
    )
    kernels = tuple(
        KernelRow(
            f"fk_contraction_{block:08x}{step:08x}",
            f"/features/{block}/{ops[0]}_{step}",
            ops,
            int(2e7 / (1 + block % 4)) if "Conv" in ops else 200_704,
            1_605_632 // (1 + block % 5),
            "mr=12 nv=2",
        )
        for block in range(blocks)
        for step, ops in enumerate(BLOCK[fusion])
    )
    share = random.dirichlet(np.full(len(kernels), 3.0)) * centre
    return RunRecord(
        session=session,
        created="2030-01-02T03:04:05+00:00",
        model=model,
        model_sha256="ab" * 32,
        bundle=f"0123456789{fusion:.<5}{threads}",
        compiler="0.1.0",
        target="rpi5",
        fusion=fusion,
        bands=True,
        threads=threads,
        device=DeviceId("rpi5", "ssh", "rpi5", False),
        settings=Settings(),
        reference="onnxruntime 1.20.0, graph optimisation off",
        kernels=kernels,
        arena_bytes=4_816_896 if fusion == "full" else 9_633_792,
        weights_bytes=14 << 20,
        scratch_bytes=1 << 16,
        code_bytes=180_000,
        checks=(OutputCheck("output", True, 3.1e-6, 2.4e-4, "largest error 3.1e-06, limit 0.00024"),),
        facts=FACTS,
        host_before=HOST,
        host_after=HOST,
        load_ns=3_000_000,
        first_run_ns=40_000_000,
        samples_ns=samples,
        steps_ns=tuple(
            tuple(int(ns) for ns in share * random.normal(1, 0.01, len(share))) for _ in range(10)
        ),
    )


def timed_session(threads: Sequence[int] = (1, 4), **given: object) -> list[RunRecord]:
    """All levels at some thread counts, interleaved in one session."""
    return [timed_record(level, count, **given) for count in threads for level in LEVEL_NS]  # type: ignore[arg-type]


def emulated_record(fusion: str = "full", *, model: str = "mobilenet_v2", session: str = "e0e0") -> RunRecord:
    """A verified record of an emulated Pi 5: answers and no times."""
    return replace(
        timed_record(fusion, model=model, session=session),
        device=DeviceId("rpi5-emulated", "emulated", "rpi5", True),
        facts=replace(
            FACTS, model="QEMU cortex-a76 (emulated)", governor=None, freq_khz=None, temperature_mc=None
        ),
        load_ns=None,
        first_run_ns=None,
        samples_ns=None,
        steps_ns=None,
    )
