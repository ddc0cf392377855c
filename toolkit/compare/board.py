"""What a board does of a comparison: python compare.zip NONCE, in the folder that the host filled.

It reads `work.pickle` and `input.N.npy` there, and leaves the outputs of engine E as `out/E.WHEN.N.npy`. All else is the last line that
it prints. Runs with Python 3.9 and numpy, as everything that `kit.py` sends.
"""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .contest import Terms, contest
from .engine import Engine, Job

WORK, OUT, MODEL, TFLITE = "work.pickle", "out", "model.onnx", "model.tflite"


@dataclass(frozen=True)
class Work:
    """What is in `work.pickle`: engines by name, names of inputs and outputs in the model's order, and the terms."""

    engines: Mapping[str, Engine]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    threads: int
    terms: Terms


def input_name(number: int) -> str:
    """The file of an input."""
    return f"input.{number}.npy"


def output_name(engine: int, when: int, number: int) -> str:
    """The file of an output: of the engine of that number, at its look of that number."""
    return f"{OUT}/{engine}.{when}.{number}.npy"


def main() -> None:
    """Does the work of this folder."""
    here = Path.cwd()
    work: Work = pickle.loads(Path(WORK).read_bytes())
    shutil.rmtree(OUT, ignore_errors=True)
    Path(OUT).mkdir()
    feeds = {name: np.load(input_name(number)) for number, name in enumerate(work.inputs)}
    tflite = here / TFLITE
    job = Job(
        here / MODEL,
        tflite if tflite.is_file() else None,
        feeds,
        work.outputs,
        work.threads,
        here / OUT,
    )
    numbers = {name: number for number, name in enumerate(work.engines)}
    looks: dict[str, list[int]] = {name: [] for name in work.engines}

    def keep(name: str, outputs: Sequence[npt.NDArray[np.generic]]) -> bool:
        for number, array in enumerate(outputs):
            np.save(output_name(numbers[name], len(looks[name]), number), array, allow_pickle=False)
        looks[name].append(len(outputs))
        return True  # the host knows what is right

    courses = contest(work.engines, job, work.terms, keep)
    told = {name: {"looks": looks[name], "course": asdict(course)} for name, course in courses.items()}
    print(json.dumps({"nonce": sys.argv[1], "engines": told}))
