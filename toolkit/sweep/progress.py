"""How far a sweep is: its journal, folded into one state a job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from ..measure.record import Failure
from .journal import Built, Ended, Entry, Failed, Finished, Planned, PlannedJob, Started
from .result import Result

State = Literal["compiling", "waiting", "running", "finished", "failed"]


@dataclass(frozen=True)
class JobProgress:
    """One job; `failure` is also that of an attempt which is tried again."""

    job: PlannedJob
    state: State = "compiling"
    attempts: int = 0
    since: str = ""
    records: str | None = None
    bundles: tuple[str, ...] = ()
    results: tuple[Result, ...] = ()
    caveats: tuple[str, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class Progress:
    """A sweep; `ended` is None while it runs, and where its process was killed."""

    name: str
    jobs: tuple[JobProgress, ...]
    ended: Ended | None

    def count(self, state: State) -> int:
        return sum(job.state == state for job in self.jobs)

    @property
    def devices(self) -> dict[str, tuple[JobProgress, ...]]:
        """The jobs of each device, in the order of the plan."""
        found: dict[str, list[JobProgress]] = {}
        for job in self.jobs:
            found.setdefault(job.job.device, []).append(job)
        return {device: tuple(jobs) for device, jobs in found.items()}


def progress_of(entries: Iterable[Entry]) -> Progress:
    """The state after all entries; what the last plan leaves out is no part of it."""
    name, ended = "", None
    jobs: dict[str, JobProgress] = {}
    for entry in entries:
        match entry:
            case Planned():
                name, ended = entry.name, None
                jobs = {job.key: _taken_up(job, jobs.get(job.key)) for job in entry.jobs}
            case Built():
                for key, job in jobs.items():
                    if job.job.recipe == entry.recipe and job.state == "compiling":
                        jobs[key] = replace(job, state="waiting", bundles=entry.bundles)
            case Started():
                jobs[entry.key] = replace(
                    jobs[entry.key], state="running", attempts=entry.attempt, since=entry.at
                )
            case Finished():
                jobs[entry.key] = replace(
                    jobs[entry.key],
                    state="finished",
                    records=entry.records,
                    bundles=entry.bundles,
                    results=entry.results,
                    caveats=entry.caveats,
                    failure=None,
                )
            case Failed():
                jobs[entry.key] = replace(
                    jobs[entry.key],
                    state="failed" if entry.retry_s is None else "waiting",
                    attempts=entry.attempt,
                    records=entry.records,
                    failure=entry.failure,
                )
            case Ended():
                ended = entry
                abandoned = [key for key, job in jobs.items() if job.state == "running"]
                jobs |= {key: replace(jobs[key], state="waiting") for key in abandoned}
            case _:
                assert_never(entry)
    return Progress(name, tuple(jobs.values()), ended)


def _taken_up(job: PlannedJob, before: JobProgress | None) -> JobProgress:
    """What is finished stays so; everything else starts again."""
    if before is None or before.state != "finished":
        return JobProgress(job)
    return replace(before, job=job)
