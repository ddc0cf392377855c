"""`fusekit report`: records in, a PDF and PNGs out."""

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
        typer.Argument(metavar="RECORDS…", help="Files of records, or folders with *.jsonl in them."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.pdf", help="The report.")],
    png: Annotated[
        bool, typer.Option("--png", help="Also write each page as a PNG beside the report.")
    ] = False,
) -> None:
    """Draw a report: speed-ups with intervals, latency distributions, kernels, and what was fused into what."""
    from ..report.write_report import write_report

    read = read_records(records)
    with progress() as shown, writing(output):
        shown.add_task(f"drawing {output.name}", total=None)
        written = write_report(read, output, png=png)
    for path in written:
        stdout().print(str(path), soft_wrap=True)
