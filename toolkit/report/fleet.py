"""The pages of many devices: speed-ups and times as maps of models and devices, and what failed."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ..measure.caveat import caveats
from ..sweep.journal import PlannedJob
from ..sweep.progress import JobProgress, Progress
from ..sweep.result import results_of
from .chapter import Chapter
from .device_gains import device_gains
from .heat_map import CHECKED, GAIN, TIME, heat_map
from .page import Place
from .remarks import remark_pages

FLEET = 3
"""Devices from which on records without a sweep have these pages too."""


def progress_of_chapters(chapters: Sequence[Chapter]) -> Progress:
    """Sessions as if a sweep had made them, so that records from anywhere have the same pages."""
    return Progress("", tuple(_job(chapter) for chapter in chapters), None)


def fleet_pages(progress: Progress, footer: str) -> list[tuple[str, Figure]]:
    """Pages with short names: maps for each thread count, devices, then failures and caveats.

    What follows stands on the same page where there is room.
    """
    said = _subtitle(progress)
    results = [result for job in progress.jobs for result in job.results]
    pages: dict[Figure, str] = {}
    last: Place | None = None

    def add(name: str, places: Sequence[Place]) -> Place:
        for place in places:
            pages.setdefault(place.figure, name)
        return places[-1]

    for threads in sorted({result.threads for result in results}):
        here = [result for result in results if result.threads == threads]
        if any(result.gain is not None for result in here):
            last = add("speed-ups", heat_map(progress, GAIN, threads, said, footer))
            last = add("devices", device_gains(progress, threads, said, footer, last))
        if any(result.time_ns is not None for result in here):
            last = add("times", heat_map(progress, TIME, threads, said, footer, last))
    if last is None:
        add("checks", heat_map(progress, CHECKED, 0, said, footer))
    remarks = [("remarks", figure) for figure in remark_pages(progress, said, footer)]
    return [(name, figure) for figure, name in pages.items()] + remarks


def _subtitle(progress: Progress) -> str:
    models = len({job.job.model for job in progress.jobs})
    devices = len(progress.devices)
    parts = [f"sweep {progress.name}"] if progress.name else []
    parts += [
        f"{models} {'model' if models == 1 else 'models'} on {devices} {'device' if devices == 1 else 'devices'}",
        f"{progress.count('finished')} of {len(progress.jobs)} measurements done",
    ]
    failed = progress.count("failed")
    open_ = len(progress.jobs) - failed - progress.count("finished")
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{open_} not yet done"] if open_ else []
    return " · ".join(parts)


def _job(chapter: Chapter) -> JobProgress:
    session = chapter.records[0].session
    failure = next((record.error for record in chapter.records if record.error is not None), None)
    return JobProgress(
        PlannedJob(session, chapter.model, chapter.device, recipe=""),
        state="finished" if failure is None else "failed",
        results=results_of(chapter.records) if failure is None else (),
        caveats=tuple(caveats(chapter.records)),
        failure=failure,
    )
