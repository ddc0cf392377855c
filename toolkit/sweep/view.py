"""One frame of a sweep for a terminal: a line a device, those that something happens on first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..measure.record import Failure
from .journal import Entry, Failed, Finished, Planned
from .progress import JobProgress, Progress, State
from .result import mean_gain

_OTHER_LINES = 5
"""Of a frame: the heading, the table's borders, and the line below it."""


def frame(progress: Progress, height: int) -> RenderableType:
    """The sweep as it stands, in at most so many lines (about; a terminal may be too small for anything)."""
    devices = sorted(progress.devices.items(), key=lambda item: _urgency(item[1]))
    room = max(1, height - _OTHER_LINES)
    shown = devices if len(devices) <= room else devices[: room - 1]
    table = Table(show_edge=False, pad_edge=False, box=None)
    table.add_column("device", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column("failed", justify="right")
    table.add_column("state", no_wrap=True)
    for device, jobs in shown:
        table.add_row(Text(device), f"{_count(jobs, 'finished')}/{len(jobs)}", _failed(jobs), _doing(jobs))
    if len(devices) > len(shown):
        table.add_row(Text(f"and {len(devices) - len(shown)} more", style="dim"))
    return Group(heading(progress), table)


def heading(progress: Progress) -> Text:
    """The sweep in a line: what is done of how much, and whether anything goes on."""
    states: Sequence[tuple[State, str]] = (
        ("running", "running"),
        ("waiting", "waiting"),
        ("compiling", "not compiled"),
        ("failed", "failed"),
    )
    parts = [f"{progress.count('finished')} of {len(progress.jobs)} done"]
    parts += [f"{progress.count(state)} {word}" for state, word in states if progress.count(state)]
    if progress.ended is not None:
        parts.append("interrupted" if progress.ended.interrupted else "ended")
    return Text(f"{progress.name}: {', '.join(parts)}", style="bold")


def lines(entries: Sequence[Entry], start: int) -> list[str]:
    """What happened from entry `start` on, a line for each job that ended and each that is tried again."""
    found = []
    jobs: dict[str, str] = {}
    for place, entry in enumerate(entries):
        if isinstance(entry, Planned):
            jobs = {job.key: f"{job.device}: {job.model}" for job in entry.jobs}
        if place < start:
            continue
        if isinstance(entry, Finished):
            found.append(f"{jobs[entry.key]}: done")
        if isinstance(entry, Failed):
            again = "" if entry.retry_s is None else f"; tried again in {entry.retry_s:g} s"
            found.append(f"{jobs[entry.key]}: {entry.failure.kind}: {entry.failure.message}{again}")
    return found


def summary(progress: Progress) -> Table:
    """A line a device: what is done, what failed and why, what fusion bought there at the fewest threads."""
    table = Table()
    table.add_column("device")
    table.add_column("done", justify="right")
    table.add_column("speed-up, full vs none", justify="right")
    table.add_column("failed")
    for device, jobs in progress.devices.items():
        table.add_row(Text(device), f"{_count(jobs, 'finished')}/{len(jobs)}", _gain(jobs), _failures(jobs))
    return table


def _failures(jobs: Sequence[JobProgress]) -> Text:
    """What failed; a sentence that several models have in common stands there once."""
    models: dict[Failure, list[str]] = {}
    for job in jobs:
        if job.state == "failed" and job.failure is not None:
            models.setdefault(job.failure, []).append(job.job.model)
    parts: list[tuple[str, str]] = []
    for failure, names in models.items():
        parts += [(f"{failure.kind} ", "red"), (f"{', '.join(names)}: {failure.message}\n", "")]
    text = Text.assemble(*parts)
    text.rstrip()
    return text


def _gain(jobs: Sequence[JobProgress]) -> str:
    fewest = [job.results[0].gain for job in jobs if job.results]
    gains = [gain for gain in fewest if gain is not None]
    if not gains:
        return "–"
    mean = mean_gain(gains)
    text = f"{mean.value:.2f}x ({mean.low:.2f}–{mean.high:.2f})"
    return text if mean.claim else f"{text}, no difference shown"


def _urgency(jobs: Sequence[JobProgress]) -> int:
    states = {job.state for job in jobs}
    order: Sequence[State] = ("running", "waiting", "compiling", "failed", "finished")
    return next(place for place, state in enumerate(order) if state in states)


def _doing(jobs: Sequence[JobProgress]) -> Text:
    running = next((job for job in jobs if job.state == "running"), None)
    if running is not None:
        again = f", attempt {running.attempts}" if running.attempts > 1 else ""
        return Text(f"measuring {running.job.model}{again}", style="cyan")
    resting = next((job for job in jobs if job.state == "waiting" and job.failure is not None), None)
    if resting is not None and resting.failure is not None:
        return Text(f"tried again soon: {resting.failure.message}", style="yellow")
    if any(job.state == "waiting" for job in jobs):
        return Text("waiting", style="dim")
    if any(job.state == "compiling" for job in jobs):
        return Text("waiting for its code", style="dim")
    return Text("done", style="green")


def _failed(jobs: Sequence[JobProgress]) -> Text:
    count = _count(jobs, "failed")
    return Text(str(count), style="red") if count else Text("")


def _count(jobs: Sequence[JobProgress], state: State) -> int:
    return sum(job.state == state for job in jobs)
