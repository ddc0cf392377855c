"""`fusekit sweep`: many models on many devices, in one run that can be interrupted and taken up again."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...devices import open_device
from ...errors import UserError
from .option import InventoryOption, find_devices
from .screen import stderr, stdout
from .watch import watching

if TYPE_CHECKING:
    from ..sweep.pool import Pool


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="SWEEP.yaml", help="Models, devices and options: see docs/sweeps.md.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Journal and records; by default a folder of the file's name in reports/sweeps.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do what is not done in the folder yet, and what failed again.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT", help="Compile and measure on a Dask cluster instead of here."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            metavar="N",
            help="Devices measured at once; by default 16, or what a cluster has.",
        ),
    ] = None,
    inventory: InventoryOption = None,
) -> None:
    """Measure every model of SWEEP.yaml on every device: a model is compiled once, a device has one job at a time.

    Ctrl-C waits for what is being measured, a second one does not; --resume goes on after both, and after a crash.
    `fusekit report FOLDER` draws what there is at any time, `fusekit watch FOLDER` shows how far it is.
    """
    from ..sweep.journal import Journal, read_journal
    from ..sweep.plan import make_plan
    from ..sweep.progress import progress_of
    from ..sweep.run_sweep import Patience, run_sweep
    from ..sweep.sweep_file import load_sweep_file
    from ..sweep.view import heading, summary

    wanted = load_sweep_file(file)
    plan = make_plan(wanted, find_devices(",".join(wanted.devices), inventory))
    folder = output or Path("reports", "sweeps", file.stem)
    with Journal(folder) as journal:
        finished = _finished(folder, resume)
        with (
            suppress(KeyboardInterrupt),
            _pool(scheduler, jobs) as pool,
            _stopping() as stop,
            watching(folder, stop),
        ):
            run_sweep(file.stem, plan, finished, folder, journal, pool, stop, Patience())
    progress = progress_of(read_journal(folder))
    stdout().print(summary(progress))
    stdout().print(heading(progress), soft_wrap=True)
    stderr().print(f"records: {folder}; draw them: fusekit report {folder} -o {folder}.pdf", soft_wrap=True)
    if progress.count("finished") < len(progress.jobs):
        given = {"-o": output, "--scheduler": scheduler, "--jobs": jobs, "--inventory": inventory}
        options = [str(part) for option in given.items() if option[1] is not None for part in option]
        again = shlex.join(["fusekit", "sweep", str(file), "--resume", *options])
        stderr().print(f"for the rest: {again}", soft_wrap=True)
        raise typer.Exit(1)


def _finished(folder: Path, resume: bool) -> frozenset[str]:
    """The keys of jobs that are done and whose records are there; raises UserError for a sweep nobody spoke of."""
    from ..sweep.journal import read_journal
    from ..sweep.progress import progress_of

    before = progress_of(read_journal(folder))
    if before.jobs and not resume:
        raise UserError(
            f"{folder} holds a sweep with {before.count('finished')} of {len(before.jobs)} jobs done: go on with it with "
            f"--resume, or give another folder with -o"
        )
    return frozenset(
        job.job.key
        for job in before.jobs
        if job.state == "finished" and job.records is not None and (folder / job.records).is_file()
    )


def _pool(scheduler: str | None, jobs: int | None) -> Pool:
    """The cluster of a scheduler, or else this machine."""
    from ..sweep.local_pool import DEVICES_AT_ONCE, LocalPool

    if scheduler is None:
        return LocalPool(open_device, jobs or DEVICES_AT_ONCE)
    try:
        from ..sweep.dask_pool import MANY, DaskPool
    except ModuleNotFoundError as error:
        raise UserError(
            f"--scheduler needs {error.name}, which is not installed: type pip install 'fusekit[fleet]'"
        ) from None
    return DaskPool(scheduler, open_device, jobs or MANY)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C, or a polite kill, sets; the second raises KeyboardInterrupt."""
    stop = threading.Event()

    def interrupted(_number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
