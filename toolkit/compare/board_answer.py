"""What a board answered: courses that are checked for sense, and outputs that are fetched within bounds."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from ...devices.device import Completed, Device, DeviceError
from ...devices.printable import printable, printable_lines
from ..reference import Arrays
from .board import output_name
from .contest import Course

# The header of an .npy file, and integers of 64 bits where the model has narrower ones.
_HEADER_BYTES, _ELEMENT_BYTES = 1 << 12, 8
_MOST_OUTPUTS = 1000
_TOO_LONG_NS = 1 << 60


@dataclass(frozen=True)
class _Told:
    """What the board says of an engine: its course, and the number of outputs at each look at them."""

    looks: Annotated[tuple[Annotated[int, Field(ge=0, le=_MOST_OUTPUTS)], ...], Field(max_length=2)]
    course: Course


@dataclass(frozen=True)
class _Line:
    nonce: str
    engines: Mapping[str, _Told]


@dataclass(frozen=True)
class BoardAnswer:
    """The courses of the engines that were sent; their outputs lie on the device."""

    device: Device
    folder: str
    courses: Mapping[str, Course]
    _looks: Mapping[str, tuple[int, ...]]

    def looks(self, name: str) -> int:
        """How often the engine's outputs were kept: before the first turn, and after the last."""
        return len(self._looks[name])

    def outputs(self, name: str, look: int, want: Arrays) -> Sequence[npt.NDArray[np.generic]]:
        """Outputs of an engine, none much larger than those wanted; raises DeviceError."""
        most = max((array.size for array in want.values()), default=0)
        engine = list(self.courses).index(name)
        return [
            self._fetch(output_name(engine, look, number), _HEADER_BYTES + _ELEMENT_BYTES * most)
            for number in range(self._looks[name][look])
        ]

    def _fetch(self, name: str, limit_bytes: int) -> npt.NDArray[np.generic]:
        data = self.device.get(f"{self.folder}/{name}", limit_bytes)
        try:
            array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        except (ValueError, TypeError, EOFError, OverflowError, MemoryError, SyntaxError) as error:
            raise DeviceError("corrupt", f"{name} of {self.device.name} is no array ({error})") from error
        if array.dtype.kind not in "fiub":
            raise DeviceError("corrupt", f"{name} of {self.device.name} is an array of {array.dtype}")
        return array


def read_answer(
    device: Device, folder: str, done: Completed, nonce: str, engines: Sequence[str], rounds: int
) -> BoardAnswer:
    """The answer in what the program wrote; raises DeviceError for anything but a whole one."""
    if done.exit_code != 0:
        said = printable_lines(done.stderr).strip().splitlines()
        reason = f": {said[-1]}" if said else ""
        raise DeviceError(
            "failed", f"the comparison on {device.name} ended with exit code {done.exit_code}{reason}"
        )
    try:
        line = TypeAdapter(_Line).validate_json(done.stdout.splitlines()[-1] if done.stdout else b"")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "its last line"
        raise DeviceError(
            "lost", f"the answer of {device.name} broke off or is damaged ({where}: {first['msg']})"
        ) from error
    whole = (
        line.nonce == nonce
        and list(line.engines) == list(engines)
        and all(_makes_sense(told, rounds) for told in line.engines.values())
    )
    if not whole:
        raise DeviceError("lost", f"the answer of {device.name} is not that of this comparison")
    return BoardAnswer(
        device,
        folder,
        {name: _harmless(told.course) for name, told in line.engines.items()},
        {name: told.looks for name, told in line.engines.items()},
    )


def _makes_sense(told: _Told, rounds: int) -> bool:
    """Whether an engine that was not lost was looked at twice and took every turn, each in a possible time."""
    course = told.course
    times = [ns for turn in course.samples_ns for ns in turn] + [course.first_output_ns or 0]
    if not all(0 <= ns < _TOO_LONG_NS for ns in times):
        return False
    if course.refusal is not None:
        return True
    return len(told.looks) == 2 and len(course.samples_ns) == rounds and all(course.samples_ns)


def _harmless(course: Course) -> Course:
    refusal = course.refusal
    if refusal is not None:
        refusal = replace(refusal, reason=printable(refusal.reason))
    return replace(course, version=printable(course.version), refusal=refusal)
