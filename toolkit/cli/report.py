"""`fusekit report`: records or a sweep in, a PDF and PNGs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..measure.record import read_records
from ..writing import writing
from .screen import progress, stdout


def report(
    records: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECORDS…", help="Files of records, folders of them, or the folder of a sweep."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.pdf", help="The report.")],
    png: Annotated[
        bool, typer.Option("--png", help="Also write each page as a PNG beside the report.")
    ] = False,
) -> None:
    """Draw a report: speed-ups with intervals, latency distributions, kernels, and what was fused into what.

    Of many devices, and of a sweep at any time of it, also maps of models and devices, and what failed.
    """
    from ..report.write_report import MOST_SESSIONS, write_report
    from ..sweep.journal import is_sweep, read_journal
    from ..sweep.progress import progress_of

    sweep = None
    if len(records) == 1 and is_sweep(records[0]):
        sweep = progress_of(read_journal(records[0]))
        done = [records[0] / job.records for job in sweep.jobs if job.state == "finished" and job.records]
        records = done if len(done) <= MOST_SESSIONS else []
    read = read_records(records) if records or sweep is None else []
    with progress() as shown, writing(output):
        shown.add_task(f"drawing {output.name}", total=None)
        written = write_report(read, output, png=png, sweep=sweep)
    for path in written:
        stdout().print(str(path), soft_wrap=True)
