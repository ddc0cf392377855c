"""Engines take turns: each made ready, looked at, timed in rounds and looked at again. Runs here and on boards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .contestant import Contestant, Refused
from .engine import Engine, Job
from .message import Refusal

Look = Callable[[str, Sequence[npt.NDArray[np.generic]]], bool]
"""Sees an engine's outputs before its first turn and after its last, and says whether they are right."""


@dataclass(frozen=True)
class Terms:
    """On what terms all engines run; the CPUs are what each engine's threads are pinned to."""

    cpus: tuple[int, ...]
    rounds: int
    turn_ms: int


@dataclass(frozen=True)
class Course:
    """How it went for one engine; `refusal` where it took no part, or no longer."""

    version: str = ""
    first_output_ns: int | None = None
    samples_ns: tuple[tuple[int, ...], ...] = ()
    refusal: Refusal | None = None


def contest(engines: Mapping[str, Engine], job: Job, terms: Terms, look: Look) -> dict[str, Course]:
    """The course of every engine; those that `look` finds wrong take no turns.

    Each engine gets an own folder below `job.folder`.
    """
    courses: dict[str, Course] = {}
    running: dict[str, Contestant] = {}
    with ExitStack() as stack:
        for name, engine in engines.items():
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=job.folder))
            contestant = stack.enter_context(Contestant(engine, job.threads))
            try:
                ready = contestant.prepare(replace(job, folder=Path(folder)), terms.cpus)
                courses[name] = Course(ready.version, ready.first_output_ns)
                if look(name, contestant.outputs()):
                    running[name] = contestant
            except Refused as refused:
                courses[name] = replace(courses.get(name, Course()), refusal=refused.refusal)
        samples, lost = take_turns(running, terms)
        for name, contestant in running.items():
            courses[name] = replace(courses[name], samples_ns=samples[name])
            try:
                if name in lost:
                    raise lost[name]
                # an engine that gets it right once may still have spoilt its inputs since
                look(name, contestant.outputs())
            except Refused as refused:
                courses[name] = replace(courses[name], refusal=refused.refusal)
    return courses


def take_turns(
    running: Mapping[str, Contestant], terms: Terms
) -> tuple[dict[str, tuple[tuple[int, ...], ...]], dict[str, Refused]]:
    """Samples by engine and round, forwards in even rounds and backwards in odd ones, and the engines that were lost on the way."""
    samples: dict[str, tuple[tuple[int, ...], ...]] = dict.fromkeys(running, ())
    lost: dict[str, Refused] = {}
    order = list(running)
    for number in range(terms.rounds):
        for name in order if number % 2 == 0 else order[::-1]:
            if name in lost:
                continue
            try:
                samples[name] += (running[name].turn(terms.turn_ms),)
            except Refused as refused:
                lost[name] = refused
    return samples, lost
