"""The files of one session and the command that runs them: one runner with every variant linked in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UserError
from ..link import Arch, link_runner
from ..reference import Arrays
from .record import Settings

if TYPE_CHECKING:
    from ...compiler.bundle import Bundle

OUT = "out"


@dataclass(frozen=True)
class Stage:
    """Files by name as `Device.put` takes them, and the runner's arguments without nonce and mode."""

    files: Mapping[str, bytes]
    arguments: tuple[str, ...]


def stage(bundles: Sequence[Bundle], feeds: Arrays) -> Stage:
    """Links the variants of one model into one runner; equal weights and inputs are files once.

    Raises UserError where the bundles are not variants of one model for one architecture.
    """
    first = bundles[0].manifest
    for bundle in bundles[1:]:
        other = bundle.manifest
        if (other.inputs, other.model_sha256, other.target.triple) != (
            first.inputs,
            first.model_sha256,
            first.target.triple,
        ):
            raise UserError(
                f"{other.name} for {other.target.name} and {first.name} for {first.target.name} are not variants of "
                f"one model: measure them apart"
            )
    distinct = {bundle.manifest.symbol: bundle for bundle in bundles}
    files = {
        "runner": link_runner(
            runner_arch(first.target.triple), [b.files["model.o"] for b in distinct.values()]
        )
    }
    arguments: list[str] = []
    for i, tensor in enumerate(first.inputs):
        name = f"input.{i}.bin"
        files[name] = _little_endian(feeds[tensor.name])
        arguments += ["--input", name]
    for symbol, bundle in distinct.items():
        weights = bundle.files["weights.bin"]
        name = f"weights.{hashlib.sha256(weights).hexdigest()[:16]}.bin"
        files[name] = weights
        arguments += ["--weights", f"{symbol}={name}"]
    arguments += ["--out", OUT, "--variants", ",".join(distinct)]
    return Stage(files, tuple(arguments))


def runner_arch(triple: str) -> Arch:
    """The architecture of the runner for a target triple; raises UserError where there is no runner."""
    match triple.partition("-")[0]:
        case "aarch64":
            return "aarch64"
        case "x86_64":
            return "x86_64"
        case other:
            raise UserError(f"no runner for {other}: known are aarch64 and x86_64")


def timing_arguments(settings: Settings) -> list[str]:
    """The runner's arguments for a timed session."""
    arguments = ["--warmup", str(settings.warmup), "--rounds", str(settings.rounds)]
    arguments += ["--round-ms", str(settings.round_ms), "--min-samples", str(settings.min_samples)]
    arguments += ["--profile", str(settings.profile)]
    if settings.cpus:
        arguments += ["--cpus", ",".join(str(cpu) for cpu in settings.cpus)]
    if settings.counters:
        arguments += ["--counters"]
    return arguments


def _little_endian(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    return np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
