"""What an inference engine has to be, to take its turn in a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..reference import Arrays

Run = Callable[[], Sequence[npt.NDArray[np.generic]]]
"""One inference: outputs as numpy arrays, in the order of `Job.outputs`.

The inputs lie where the engine reads them before the first call. An array may be memory of the engine that the next call overwrites.
"""


@dataclass(frozen=True)
class Job:
    """What every engine has to run, on the same terms."""

    model: Path
    tflite: Path | None
    """The TensorFlow Lite file that the model was made from, where there is one."""
    feeds: Arrays
    """Inputs by ONNX name, in the model's order, contiguous and alive as long as the engine; their shapes bind dynamic dimensions."""
    outputs: tuple[str, ...]
    """Names of the ONNX outputs, in the model's order."""
    threads: int
    folder: Path
    """For what a converter writes; removed when the worker ends."""


class Engine(Protocol):
    """An engine and its settings: a frozen value that is sent to the worker process by pickle."""

    @property
    def modules(self) -> tuple[str, ...]:
        """What is imported before the clock of the first output starts."""
        ...

    @property
    def distributions(self) -> tuple[str, ...]:
        """The packages whose versions a record carries."""
        ...

    def load(self, job: Job) -> Run:
        """Make the model ready in float32; raises whatever the engine or its converter raises for what it cannot run."""
        ...


class NotAvailable(Exception):
    """Why an engine takes no part, in words for people: a package or a file is absent, or a converter failed."""
