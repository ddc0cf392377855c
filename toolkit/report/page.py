"""One page: A4 landscape with a title above a rule, a footer, and the colours and fonts of the whole report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .fit import fit

WIDTH_INCH, HEIGHT_INCH = 11.69, 8.27
LEFT, RIGHT, TOP, BOTTOM = 0.055, 0.945, 0.855, 0.075

INK, MUTED, RULE, STRIPE = "#1a1a1a", "#666666", "#c8c8c8", "#f4f6f8"
# From Okabe and Ito, Color Universal Design (2008); they differ in lightness too.
LEVEL_COLOURS: Mapping[str, str] = {"none": "#9a9a9a", "basic": "#56b4e9", "full": "#0072b2"}
GOOD, BAD = "#007a5a", "#c04a00"

STYLE: Mapping[str, object] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    # TrueType with a Unicode map: text in the PDF can be searched and copied.
    "pdf.fonttype": 42,
    # A name with dollar signs is a name, not a formula.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Place:
    """A page with room below `top`, a share of its height."""

    figure: Figure
    top: float


def new_page(title: str, subtitle: str, footer: str) -> Figure:
    """An empty page; content belongs between LEFT, RIGHT, BOTTOM and TOP in figure fractions."""
    figure = Figure(figsize=(WIDTH_INCH, HEIGHT_INCH), facecolor="white")
    FigureCanvasAgg(figure)
    room = (RIGHT - LEFT) * WIDTH_INCH
    figure.text(LEFT, 0.935, fit(title, room, 17, bold=True), fontsize=17, fontweight="bold", va="center")
    figure.text(LEFT, 0.9, fit(subtitle, room, 9.5), fontsize=9.5, color=MUTED, va="center")
    figure.add_artist(Line2D([LEFT, RIGHT], [0.88, 0.88], color=INK, linewidth=0.8))
    figure.add_artist(Line2D([LEFT, RIGHT], [0.05, 0.05], color=RULE, linewidth=0.6))
    figure.text(LEFT, 0.033, footer, fontsize=7.5, color=MUTED, va="center")
    return figure


def number_pages(pages: list[Figure]) -> None:
    """Writes "page of pages" at the foot of each."""
    for number, figure in enumerate(pages, 1):
        figure.text(
            RIGHT, 0.033, f"{number} / {len(pages)}", fontsize=7.5, color=MUTED, va="center", ha="right"
        )
