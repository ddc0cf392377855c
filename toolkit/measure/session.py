"""One session: variants of one model staged, run, checked against the reference and recorded."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from ...devices.client import signature
from ...devices.device import Device, DeviceError, Facts
from ..reference import Arrays, reference_name
from .check import OutputCheck, check_output
from .collect import Collected, collect
from .record import DeviceId, Failure, KernelRow, RunRecord, Settings
from .stage import OUT, Stage, stage, timing_arguments

if TYPE_CHECKING:
    from ...compiler.bundle import Bundle, Manifest

# An emulator runs at about a hundredth of a board's speed.
CHECK_TIMEOUT_S = 600.0
# Most sessions take less; the sentence of an error says how long it was.
TURN_WAIT_S = 120.0
# Around a run: to send a few hundred megabytes over a slow line, and to fetch the outputs.
TRANSFER_S = 300.0


@dataclass(frozen=True)
class Deployment:
    """A stage that lies on a device: its folder there and what to type there to run it."""

    folder: str
    arguments: tuple[str, ...]
    bytes: int


def deploy(device: Device, staged: Stage) -> Deployment:
    """Puts the stage on the device; raises DeviceError."""
    folder = device.put(staged.files)
    return Deployment(folder, staged.arguments, sum(len(data) for data in staged.files.values()))


def measure(
    device: Device,
    bundles: Sequence[Bundle],
    feeds: Arrays,
    want: Arrays,
    settings: Settings,
    *,
    keep: bool = True,
) -> list[RunRecord]:
    """Records of all the variants, timed in turn in one process; a failure is a record with an error.

    The device is locked meanwhile: where another has it for longer than TURN_WAIT_S, the error is "busy". On an
    emulated device the outputs are checked and nothing is timed. Without `keep` the files are removed from the device again.
    """
    return _session(device, bundles, feeds, want, settings, timed=not device.emulated, keep=keep)


def verify(
    device: Device, bundles: Sequence[Bundle], feeds: Arrays, want: Arrays, settings: Settings
) -> list[RunRecord]:
    """Records with output checks and no times; the device is locked as for `measure`."""
    return _session(device, bundles, feeds, want, settings, timed=False, keep=True)


def _session(
    device: Device,
    bundles: Sequence[Bundle],
    feeds: Arrays,
    want: Arrays,
    settings: Settings,
    *,
    timed: bool,
    keep: bool,
) -> list[RunRecord]:
    nonce = secrets.token_hex(8)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    records = [_blank(device, bundle.manifest, settings, nonce, created) for bundle in bundles]
    try:
        staged = stage(bundles, feeds)
        mode = timing_arguments(settings) if timed else ["--check-only"]
        timeout_s = _timeout_s(settings, len(bundles)) if timed else CHECK_TIMEOUT_S
        owner = signature(f"{'timing' if timed else 'checking'} {bundles[0].manifest.name}")
        with device.lock(owner, for_s=timeout_s + TRANSFER_S, wait_s=TURN_WAIT_S):
            facts: Facts = device.probe()
            deployment = deploy(device, staged)
            completed = device.run(
                ["./runner", "--nonce", nonce, *deployment.arguments, *mode],
                cwd=deployment.folder,
                timeout_s=timeout_s,
            )
            collected = collect(completed, nonce)
            checks = _check(device, deployment, bundles, want) if collected.failure is None else {}
            if not keep:
                device.run(["rm", "-rf", deployment.folder], cwd=deployment.folder, timeout_s=timeout_s)
    except DeviceError as error:
        failure = _said_before_dying(error, nonce) or Failure(error.kind, str(error))
        return [replace(record, error=failure) for record in records]
    return [
        _fill(record, bundle, facts, collected, checks, timed)
        for record, bundle in zip(records, bundles, strict=True)
    ]


def _said_before_dying(error: DeviceError, nonce: str) -> Failure | None:
    """The runner's own sentence, which says more than the signal that ended it."""
    if error.completed is None:
        return None
    failure = collect(error.completed, nonce).failure
    return failure if failure is not None and failure.kind not in ("lost", "failed") else None


def _blank(device: Device, manifest: Manifest, settings: Settings, session: str, created: str) -> RunRecord:
    return RunRecord(
        session=session,
        created=created,
        model=manifest.name,
        model_sha256=manifest.model_sha256,
        bundle=manifest.hash,
        compiler=manifest.compiler,
        target=manifest.target.name,
        fusion=manifest.fusion,
        bands=manifest.bands,
        threads=manifest.threads,
        device=DeviceId(device.name, device.transport, device.target, device.emulated),
        settings=settings,
        reference=reference_name(),
        kernels=tuple(
            KernelRow(k.name, k.label, tuple(k.ops), k.flops, k.bytes, k.schedule) for k in manifest.kernels
        ),
        arena_bytes=manifest.arena_bytes,
        weights_bytes=manifest.weights_bytes,
        scratch_bytes=manifest.scratch_bytes,
        code_bytes=manifest.code_bytes,
    )


def _check(
    device: Device, deployment: Deployment, bundles: Sequence[Bundle], want: Arrays
) -> dict[str, tuple[OutputCheck, ...]]:
    """Output checks by symbol."""
    checks: dict[str, tuple[OutputCheck, ...]] = {}
    for bundle in bundles:
        symbol = bundle.manifest.symbol
        if symbol in checks:
            continue
        checks[symbol] = tuple(
            check_output(
                tensor.name,
                _fetch(
                    device, f"{deployment.folder}/{OUT}/{symbol}.{i}.bin", tensor.dtype, tuple(tensor.shape)
                ),
                want[tensor.name],
                rtol=tensor.rtol,
                atol=tensor.atol,
            )
            for i, tensor in enumerate(bundle.manifest.outputs)
        )
    return checks


def _fetch(
    device: Device, path: str, dtype: str, shape: tuple[int, ...]
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """One output of the runner; raises DeviceError."""
    native = np.dtype(dtype)
    size = native.itemsize * math.prod(shape)
    data = device.get(path, size)
    if len(data) != size:
        raise DeviceError(
            "corrupt", f"{path} on {device.name} has {len(data)} bytes where {size} are expected"
        )
    return np.frombuffer(data, native.newbyteorder("<")).astype(native, copy=False).reshape(shape)


def _fill(
    record: RunRecord,
    bundle: Bundle,
    facts: Facts,
    collected: Collected,
    checks: Mapping[str, tuple[OutputCheck, ...]],
    timed: bool,
) -> RunRecord:
    seen = replace(record, facts=facts, host_before=collected.host_before, host_after=collected.host_after)
    if collected.failure is not None:
        return replace(seen, error=collected.failure)
    symbol = bundle.manifest.symbol
    run = collected.variants.get(symbol)
    if run is None:
        return replace(seen, error=Failure("failed", f"the runner does not know the variant {symbol}"))
    checked = replace(seen, checks=checks[symbol])
    wrong = [check for check in checked.checks if not check.ok]
    if wrong:
        said = "; ".join(f"output '{check.name}': {check.detail}" for check in wrong)
        return replace(checked, error=Failure("check", said))
    if not timed:
        return checked
    return replace(
        checked,
        load_ns=run.load_ns,
        first_run_ns=run.first_run_ns,
        samples_ns=tuple(tuple(run.samples_ns[k]) for k in sorted(run.samples_ns)),
        steps_ns=tuple(run.steps_ns),
        counters=run.counters,
        counters_reason=run.counters_reason,
    )


def _timeout_s(settings: Settings, variants: int) -> float:
    # A visit lasts as long as it must for its fewest samples: ten seconds of slack each cover a model of 2 s. Profiled runs come ten to a visit.
    return 60 + variants * (settings.rounds + settings.profile // 10 + 1) * (settings.round_ms / 1000 + 10)
