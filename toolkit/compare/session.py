"""One session: engines on one model, each checked, then timed in turn."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ... import __version__
from ...cache import cache_dir
from ...devices.local import LocalDevice
from ...errors import UserError
from ..measure.check import OutputCheck, check_output
from ..measure.record import Failure
from ..reference import Arrays, reference_name, reference_outputs, seeded_inputs
from .contestant import Contestant, Refused
from .engine import Engine, Job
from .record import EngineRecord, Rules

if TYPE_CHECKING:
    from ...compiler.bundle import Bundle


@dataclass(frozen=True)
class Subject:
    """A model with what its engines are given and checked by; the bundle knows its tensors and how exact they are."""

    name: str
    path: Path
    tflite: Path | None
    bundle: Bundle
    feeds: Arrays
    want: Arrays


def subject_of(name: str, path: Path, tflite: Path | None, bundle: Bundle, seed: int) -> Subject:
    """Asks ONNX Runtime for the right outputs; raises UserError where it cannot give them."""
    feeds = seeded_inputs(bundle.manifest, seed)
    return Subject(name, path, tflite or _original(path), bundle, feeds, reference_outputs(path, feeds))


def _original(model: Path) -> Path | None:
    """The .tflite file beside the model, or in a folder `tflite` there."""
    places = (
        model.with_suffix(".tflite"),
        model.parent / "tflite" / model.with_suffix(".tflite").name,
    )
    return next((place for place in places if place.is_file()), None)


def pinned(cpus: Sequence[int], threads: int) -> tuple[int, ...]:
    """The CPUs that were asked for, or as many as there are threads of those that this process may use.

    Raises UserError for a CPU that it may not use.
    """
    allowed = sorted(os.sched_getaffinity(0))
    for cpu in cpus:
        if cpu not in allowed:
            raise UserError(f"--cpus names CPU {cpu}: this process may use {', '.join(map(str, allowed))}")
    return tuple(cpus) or tuple(allowed[:threads])


def compare(subject: Subject, engines: Mapping[str, Engine], rules: Rules) -> list[EngineRecord]:
    """A record for each engine; one that takes no part, fails or is wrong has an error and no samples."""
    blank = EngineRecord(
        session=secrets.token_hex(8),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=subject.name,
        model_sha256=subject.bundle.manifest.model_sha256,
        engine="",
        version="",
        fusekit=__version__,
        rules=rules,
        reference=reference_name(),
        facts=LocalDevice("local", "host", cache_dir()).probe(),
    )
    records = {name: replace(blank, engine=name) for name in engines}
    with ExitStack() as stack:
        running: dict[str, Contestant] = {}
        for name, engine in engines.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fusekit-compare-")))
            job = _job(subject, rules, folder)
            contestant = stack.enter_context(Contestant(engine, rules.threads))
            records[name] = _prepare(records[name], contestant, job, subject)
            if records[name].error is None:
                running[name] = contestant
        samples, lost = take_turns(running, rules)
        for name, contestant in running.items():
            # an engine that gets it right once may still have spoilt its inputs since
            record = records[name] if name not in lost else _failed(records[name], lost[name])
            record = record if record.error is not None else _checked(record, contestant, subject)
            records[name] = record if record.error is not None else replace(record, samples_ns=samples[name])
    return list(records.values())


def take_turns(
    running: Mapping[str, Contestant], rules: Rules
) -> tuple[dict[str, tuple[tuple[int, ...], ...]], dict[str, Refused]]:
    """Samples by engine and round, forwards in even rounds and backwards in odd ones, and the engines that were lost on the way."""
    samples: dict[str, tuple[tuple[int, ...], ...]] = dict.fromkeys(running, ())
    lost: dict[str, Refused] = {}
    order = list(running)
    for number in range(rules.rounds):
        for name in order if number % 2 == 0 else order[::-1]:
            if name in lost:
                continue
            try:
                samples[name] += (running[name].turn(rules.turn_ms),)
            except Refused as refused:
                lost[name] = refused
    return samples, lost


def _job(subject: Subject, rules: Rules, folder: Path) -> Job:
    outputs = tuple(output.name for output in subject.bundle.manifest.outputs)
    return Job(subject.path, subject.tflite, subject.feeds, outputs, rules.threads, folder)


def _prepare(record: EngineRecord, contestant: Contestant, job: Job, subject: Subject) -> EngineRecord:
    try:
        ready = contestant.prepare(job, record.rules.cpus)
    except Refused as refused:
        return _failed(record, refused)
    record = replace(record, version=ready.version, first_output_ns=ready.first_output_ns)
    return _checked(record, contestant, subject)


def _checked(record: EngineRecord, contestant: Contestant, subject: Subject) -> EngineRecord:
    """The record with its outputs compared to the reference."""
    try:
        outputs = contestant.outputs()
    except Refused as refused:
        return _failed(record, refused)
    tensors = subject.bundle.manifest.outputs
    if len(outputs) != len(tensors):
        said = f"it gives {len(outputs)} outputs where the model has {len(tensors)}"
        return replace(record, error=Failure("check", said))
    checks = tuple(
        _check(t.name, got, subject.want[t.name], t.rtol, t.atol)
        for t, got in zip(tensors, outputs, strict=True)
    )
    wrong = [f"output '{check.name}': {check.detail}" for check in checks if not check.ok]
    error = Failure("check", "; ".join(wrong)) if wrong else None
    return replace(record, checks=checks, error=error)


def _check(
    name: str, got: npt.NDArray[np.generic], want: npt.NDArray[np.generic], rtol: float, atol: float
) -> OutputCheck:
    """As everywhere, but engines may leave out axes of length one and give integers of another width."""
    if got.size == want.size and _core(got.shape) == _core(want.shape):
        got = got.reshape(want.shape)
    if got.dtype.kind in "iu" and want.dtype.kind in "iu":
        got = got.astype(want.dtype)
    return check_output(name, got, want, rtol=rtol, atol=atol)


def _core(shape: tuple[int, ...]) -> list[int]:
    return [extent for extent in shape if extent != 1]


def _failed(record: EngineRecord, refused: Refused) -> EngineRecord:
    return replace(record, error=Failure(refused.refusal.kind, refused.refusal.reason))
