"""Assembly listings: the loops in them, and what their instructions are.

A loop is the code from a label to the last branch back to it. The listing is LLVM's own text, so labels and branches have one form per
architecture and nothing is disassembled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LABEL = re.compile(r"^([.\w]+):")
_BRANCH = re.compile(r"^(?:b|b\.\w+|cbn?z|tbn?z|j\w+)\s+(?:.*,\s*)?(\.L\w+)$")


@dataclass(frozen=True)
class Loop:
    """The instructions of an innermost loop, labels left out, in order."""

    label: str
    instructions: tuple[str, ...]

    def count(self, pattern: str) -> int:
        """Instructions that `pattern` matches from their start."""
        return sum(1 for text in self.instructions if re.match(pattern, text))

    @property
    def spills(self) -> tuple[str, ...]:
        """Vector registers written to the stack or read back from it."""
        return tuple(text for text in self.instructions if _is_spill(text))


def instructions_of(listing: str) -> list[str]:
    """Every line that is a label (with its colon) or an instruction, comments removed and white space single."""
    lines = []
    for raw in listing.splitlines():
        line = " ".join(re.split(r"//|# |##", raw)[0].split()) if not raw.lstrip().startswith("#") else ""
        if line and (not line.startswith(".") or _LABEL.match(line)):
            lines.append(line)
    return lines


def innermost_loops(listing: str) -> list[Loop]:
    """Loops that hold no other loop."""
    lines = instructions_of(listing)
    at = {match[1]: number for number, line in enumerate(lines) if (match := _LABEL.match(line))}
    ends: dict[int, int] = {}
    for number, line in enumerate(lines):
        branch = _BRANCH.match(line)
        if branch and at.get(branch[1], number) < number:
            ends[at[branch[1]]] = number
    spans = sorted(ends.items())
    inner = [
        (start, end)
        for start, end in spans
        if not any(start < other and last <= end for other, last in spans)
    ]
    return [
        Loop(lines[start][:-1], tuple(line for line in lines[start + 1 : end + 1] if not _LABEL.match(line)))
        for start, end in inner
    ]


def multiply_add_loops(listing: str) -> list[Loop]:
    """Innermost loops that multiply and add vectors."""
    return [loop for loop in innermost_loops(listing) if loop.count(r"fmla v|vfn?madd\w+ps|mulps")]


def _is_spill(text: str) -> bool:
    if re.match(r"(?:str|ldr|stp|ldp|stur|ldur) [qvd]\d+,.*\[sp", text):
        return True
    # x86: a vector move or arithmetic with an operand relative to the stack pointer
    return bool(re.match(r"v?\w+ ", text) and re.search(r"[xyz]mm\d+", text) and re.search(r"\(%rsp", text))
