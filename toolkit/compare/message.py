"""What a comparison and its workers say to each other, pickled through a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from .engine import Engine, Job


@dataclass(frozen=True)
class Prepare:
    """Load the model on these CPUs and run it once."""

    engine: Engine
    job: Job
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Ready:
    """It ran; `first_output_ns` is from the model's file to its first output, imports done."""

    version: str
    first_output_ns: int


@dataclass(frozen=True)
class Turn:
    """Run for so long; answered by samples in ns."""

    turn_ms: int


@dataclass(frozen=True)
class Samples:
    """Times of single inferences."""

    ns: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """Run once; answered by the outputs."""


@dataclass(frozen=True)
class Outputs:
    """Copies of the outputs, in the job's order."""

    arrays: Sequence[npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Refusal:
    """The engine takes no part, and why."""

    kind: Literal["unavailable", "crash"]
    reason: str


if TYPE_CHECKING:  # boards may have Python 3.9, whose classes know no |
    Request = Prepare | Turn | Answer
    Reply = Ready | Samples | Outputs | Refusal
