"""Text cut to the room there is for it."""

from __future__ import annotations

import bisect
from functools import cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from ...devices.printable import printable


def fit(text: str, inches: float, points: float, *, bold: bool = False) -> str:
    """The text, printable and cut with … so that it is at most so wide in DejaVu Sans.

    >>> fit("abcdefghij", 0.4, 8.0), fit("abc", 0.4, 8.0)
    ('abcd…', 'abc')
    """
    text = printable(text)
    if not text or text_inches(text, points, bold) <= inches:
        return text
    fitting = bisect.bisect_right(
        range(len(text)), inches, key=lambda n: text_inches(text[:n] + "…", points, bold)
    )
    return text[: max(0, fitting - 1)] + "…"


@cache
def text_inches(text: str, points: float, bold: bool) -> float:
    """Width of a line of text in DejaVu Sans."""
    font = FontProperties(family="DejaVu Sans", size=points, weight="bold" if bold else "normal")
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72
