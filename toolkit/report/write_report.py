"""From records to a PDF: an overview, then for each session its times, kernels and fusion groups; first of all the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from matplotlib import style
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from ... import __version__
from ...errors import UserError
from ..measure.record import RunRecord
from ..sweep.progress import Progress
from .chapter import Chapter, chapters
from .checks import check_page
from .fleet import FLEET, fleet_pages, progress_of_chapters
from .groups import group_pages
from .kernels import kernel_page
from .overview import overview_pages
from .page import STYLE, number_pages
from .timing import timing_page

PNG_DPI = 110
MOST_SESSIONS = 24
"""Of a fleet; with more of them a report has the pages of the fleet alone."""


def write_report(
    records: Sequence[RunRecord], path: Path, *, png: bool = False, sweep: Progress | None = None
) -> list[Path]:
    """Writes the PDF and, with `png`, each page as NAME-01-overview.png beside it; returns what was written.

    `sweep` adds what records cannot say: what failed without one, and what is not done yet.

    Raises UserError for a name that does not end in .pdf.
    """
    if path.suffix.lower() != ".pdf":
        raise UserError(f"a report is a PDF, not '{path.name}': give a name like reports/report.pdf")
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path]
    with style.context(dict(STYLE)):
        pages = _pages(chapters(records), sweep)
        number_pages([figure for _, figure in pages])
        with PdfPages(path, metadata=_metadata(records, sweep)) as pdf:
            for _, figure in pages:
                pdf.savefig(figure)
        if png:
            for number, (name, figure) in enumerate(pages, 1):
                image = path.with_name(f"{path.stem}-{number:02}-{name}.png")
                figure.savefig(image, dpi=PNG_DPI)
                written.append(image)
    return written


def _pages(found: Sequence[Chapter], sweep: Progress | None) -> list[tuple[str, Figure]]:
    """Pages with short names for their files."""
    fleet = sweep or progress_of_chapters(found)
    sessions = max(len(found), fleet.count("finished"))
    footer = f"fusekit {__version__} · drawn {datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {sessions} sessions"
    pages = []
    if sweep is not None or len(fleet.devices) >= FLEET:
        pages = fleet_pages(fleet, footer)
        if sessions > MOST_SESSIONS or not found:
            return pages
    pages += [("overview", figure) for figure in overview_pages(found, footer)]
    grouped = set()
    for chapter in found:
        name = f"{chapter.model}-{chapter.device}"
        if chapter.timed:
            pages.append((f"{name}-timing", timing_page(chapter, footer)))
            kernels = kernel_page(chapter, footer)
            if kernels is not None:
                pages.append((f"{name}-kernels", kernels))
        if any(record.samples_ns is None for record in chapter.records):
            pages.append((f"{name}-checks", check_page(chapter, footer)))
        if (chapter.model, chapter.target) not in grouped:
            grouped.add((chapter.model, chapter.target))
            pages += [(f"{name}-groups", figure) for figure in group_pages(chapter, footer)]
    return pages


def _metadata(records: Sequence[RunRecord], sweep: Progress | None) -> dict[str, str]:
    if sweep is not None:
        return {"Title": f"fusekit: sweep {sweep.name}", "Creator": f"fusekit {__version__}"}
    models = ", ".join(dict.fromkeys(record.model for record in records))
    devices = ", ".join(dict.fromkeys(record.device.name for record in records))
    return {"Title": f"fusekit: {models} on {devices}", "Creator": f"fusekit {__version__}"}
