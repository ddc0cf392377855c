"""A plan done by a pool, every step in the journal: a device has one job at a time, a recipe is compiled once."""

from __future__ import annotations

import os
import re
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...devices.device import DeviceError
from ...errors import UserError
from ..measure.record import Failure, RunRecord, write_records
from .build import CompilerDied
from .job import Job, Recipe
from .journal import Built, Ended, Failed, Finished, Journal, Planned, PlannedJob, Started, now
from .pool import Measured, Pool, PoolLost

TRIED_AGAIN = frozenset({"unreachable", "lost", "timeout", "busy"})
"""Kinds of failure that may pass by themselves."""
_LONGEST_PAUSE_S = 0.2


@dataclass(frozen=True)
class Patience:
    """How often a job is tried and how long its device rests in between: at first `rest_s`, then twice that, and so on.

    A device that somebody else is using is asked again after `busy_rest_s`, besides what a session waits by itself.
    """

    attempts: int = 3
    rest_s: float = 5.0
    busy_attempts: int = 10
    busy_rest_s: float = 30.0

    def retry_s(self, kind: str, attempt: int, *, doubted: bool) -> float | None:
        """Seconds until the next attempt, None where there is none; a doubted device has one attempt a job."""
        if kind not in TRIED_AGAIN or doubted:
            return None
        if kind == "busy":
            return self.busy_rest_s if attempt < self.busy_attempts else None
        if attempt >= self.attempts:
            return None
        return self.rest_s * float(1 << (attempt - 1))


def run_sweep(
    name: str,
    plan: Sequence[Job],
    finished: Collection[str],
    folder: Path,
    journal: Journal,
    pool: Pool,
    stop: threading.Event,
    patience: Patience,
) -> None:
    """Does what is not `finished` of a plan; the records of each job become a file of the folder.

    Once `stop` is set nothing new begins, and it returns when what is being measured is done.
    """
    _Run(name, plan, finished, folder, journal, pool, stop, patience).run()


@dataclass(frozen=True)
class _Turn:
    """A job with its place in the plan and the number of the attempt."""

    place: int
    job: Job
    attempt: int = 1


@dataclass
class _Lane:
    """The jobs of one device, which has one of them at a time."""

    turns: deque[_Turn] = field(default_factory=deque)
    busy: bool = False
    rests_until: float = 0.0
    doubted: bool = False
    """Its last job was given up though it had been tried again: the next ones are tried once until one is well."""


class _Run:
    def __init__(
        self,
        name: str,
        plan: Sequence[Job],
        finished: Collection[str],
        folder: Path,
        journal: Journal,
        pool: Pool,
        stop: threading.Event,
        patience: Patience,
    ) -> None:
        self._name = name
        self._plan = plan
        self._folder = folder
        self._journal = journal
        self._pool = pool
        self._stop = stop
        self._patience = patience
        self._lanes: dict[str, _Lane] = {}
        self._built: set[str] = set()
        self._building: dict[Future[tuple[str, ...]], Recipe] = {}
        self._measuring: dict[Future[Measured], _Turn] = {}
        todo = [job for job in plan if job.key not in finished]
        for place, job in enumerate(todo):
            self._lanes.setdefault(job.device.name, _Lane()).turns.append(_Turn(place, job))
        self._left = Counter(job.recipe.key for job in todo)
        self._recipes = {job.recipe.key: job.recipe for job in todo}

    def run(self) -> None:
        jobs = tuple(PlannedJob(job.key, job.label, job.device.name, job.recipe.key) for job in self._plan)
        self._journal.append(Planned(now(), self._name, jobs))
        try:
            for recipe in self._recipes.values():
                self._building[self._pool.build(recipe)] = recipe
            while self._measuring or (self._left.total() and not self._stop.is_set()):
                if not self._stop.is_set():
                    self._start_jobs()
                self._settle()
        except (PoolLost, KeyboardInterrupt):
            self._journal.append(Ended(now(), interrupted=True))
            raise
        self._journal.append(Ended(now(), interrupted=bool(self._left.total())))

    def _start_jobs(self) -> None:
        """Hand over the next job of every free device, in the order of the plan, as long as the pool takes more."""
        ready = [(turn, lane) for lane in self._lanes.values() if (turn := self._next(lane)) is not None]
        for turn, lane in sorted(ready, key=lambda item: item[0].place):
            if len(self._measuring) >= self._pool.at_once or not self._may_run(turn.job):
                continue
            lane.turns.remove(turn)
            lane.busy = True
            self._journal.append(Started(now(), turn.job.key, turn.attempt))
            self._measuring[self._pool.measure(turn.job)] = turn

    def _next(self, lane: _Lane) -> _Turn | None:
        """The first job of a device that is compiled, if the device is free."""
        if lane.busy or lane.rests_until > time.monotonic():
            return None
        return next((turn for turn in lane.turns if turn.job.recipe.key in self._built), None)

    def _may_run(self, job: Job) -> bool:
        """What is timed on this machine runs last and alone: compiling and sending to others would be in its times."""
        if job.device.transport != "local":
            return True
        lanes = [lane for lane in self._lanes.values() if lane.turns]
        others = any(lane.turns[0].job.device.transport != "local" for lane in lanes)
        return not (self._building or self._measuring or others)

    def _settle(self) -> None:
        """Wait for the next thing that ends, but not for long, and take note of it."""
        running: list[Future[Any]] = [*self._building, *self._measuring]
        if not running:
            time.sleep(self._pause_s())
        done = wait(running, self._pause_s(), FIRST_COMPLETED).done
        for build in [future for future in self._building if future in done]:
            self._settle_build(build, self._building.pop(build))
        for session in [future for future in self._measuring if future in done]:
            self._settle_job(session, self._measuring.pop(session))

    def _pause_s(self) -> float:
        now_s = time.monotonic()
        rests = [lane.rests_until - now_s for lane in self._lanes.values() if lane.rests_until > now_s]
        return min([_LONGEST_PAUSE_S, *rests])

    def _settle_build(self, future: Future[tuple[str, ...]], recipe: Recipe) -> None:
        error = _error_of(future)
        if error is not None and self._stop.is_set():
            return  # Ctrl-C reaches the compilers too
        if error is not None:
            for lane in self._lanes.values():
                for turn in [turn for turn in lane.turns if turn.job.recipe.key == recipe.key]:
                    lane.turns.remove(turn)
                    self._give_up(turn, _failure(error, "compile"), None, _trace(error))
            return
        self._built.add(recipe.key)
        self._journal.append(Built(now(), recipe.key, future.result()))

    def _settle_job(self, future: Future[Measured], turn: _Turn) -> None:
        job = turn.job
        lane = self._lanes[job.device.name]
        lane.busy = False
        error = _error_of(future)
        measured = future.result() if error is None else Measured((), (), (), _failure(error, "failed"))
        trace = None if error is None else _trace(error)
        records = self._write(job, measured.records)
        if measured.failure is None and records is not None:
            bundles = tuple(record.bundle for record in measured.records)
            self._journal.append(
                Finished(now(), job.key, records, bundles, measured.results, measured.caveats)
            )
            lane.doubted = False
            self._done_with(job)
            return
        failure = measured.failure or Failure("failed", f"{job.device.name} gave no records")
        retry_s = self._patience.retry_s(failure.kind, turn.attempt, doubted=lane.doubted)
        if retry_s is None or self._stop.is_set():
            lane.doubted = failure.kind in TRIED_AGAIN
            self._give_up(turn, failure, records, trace)
            return
        lane.rests_until = time.monotonic() + retry_s
        lane.turns.appendleft(replace(turn, attempt=turn.attempt + 1))
        self._journal.append(Failed(now(), job.key, turn.attempt, failure, retry_s, records, trace))

    def _give_up(self, turn: _Turn, failure: Failure, records: str | None, trace: str | None) -> None:
        self._journal.append(Failed(now(), turn.job.key, turn.attempt, failure, None, records, trace))
        self._done_with(turn.job)

    def _done_with(self, job: Job) -> None:
        self._left[job.recipe.key] -= 1
        if not self._left[job.recipe.key]:
            self._pool.release(job.recipe)

    def _write(self, job: Job, records: Sequence[RunRecord]) -> str | None:
        """Put records on the disk, in a file of the job's own; its name."""
        if not records:
            return None
        # A file's name has 255 bytes at most; the key alone tells it from all others.
        people = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{job.recipe.name[:100]}-{job.device.name[:100]}")
        name = f"{people}-{job.key}.jsonl"
        write_records(self._folder / name, records)
        for path in (self._folder / name, self._folder):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        return name


def _error_of(future: Future[Any]) -> Exception | None:
    """What went wrong with one piece of work; what goes wrong with all of them is raised."""
    error = future.exception()
    if isinstance(error, PoolLost) or not isinstance(error, Exception | None):
        raise error
    return error


def _failure(error: Exception, kind: str) -> Failure:
    match error:
        case DeviceError():
            return Failure(error.kind, str(error))
        case UserError():
            return Failure(kind, str(error))
        case CompilerDied():
            return Failure(kind, str(error).splitlines()[-1])
    return Failure("internal", f"{type(error).__name__}: {error}")


def _trace(error: Exception) -> str | None:
    """What a person who mends fusekit needs; None for what a user mends."""
    return None if isinstance(error, UserError) else "".join(traceback.format_exception(error))
