"""The journal of a sweep: a line of JSON for whatever happens to a job, on the disk before the next thing happens.

What it does not say has not happened: a process that dies at any moment loses at most what it was doing. A last line
without its end is one that was being written then, and counts for nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ...errors import UserError
from ..measure.record import Failure
from ..writing import writing
from .result import Result

FILE = "journal"


@dataclass(frozen=True)
class PlannedJob:
    """A job as people see it."""

    key: str
    model: str
    device: str
    recipe: str


@dataclass(frozen=True)
class Planned:
    """A process takes the sweep up: what it has to do, what earlier ones did included."""

    at: str
    name: str
    jobs: tuple[PlannedJob, ...]
    entry: Literal["planned"] = "planned"


@dataclass(frozen=True)
class Built:
    """A recipe is compiled."""

    at: str
    recipe: str
    bundles: tuple[str, ...]
    entry: Literal["built"] = "built"


@dataclass(frozen=True)
class Started:
    """A job is on its device."""

    at: str
    key: str
    attempt: int
    entry: Literal["started"] = "started"


@dataclass(frozen=True)
class Finished:
    """A job's outputs were right; its records lie in the file `records` of the sweep's folder."""

    at: str
    key: str
    records: str
    bundles: tuple[str, ...]
    results: tuple[Result, ...]
    caveats: tuple[str, ...]
    entry: Literal["finished"] = "finished"


@dataclass(frozen=True)
class Failed:
    """A job came to nothing; `retry_s` is when it is tried again, None where it is given up.

    `records` is the file of what there is all the same, such as checks; `trace` is for an error of fusekit's own.
    """

    at: str
    key: str
    attempt: int
    failure: Failure
    retry_s: float | None
    records: str | None = None
    trace: str | None = None
    entry: Literal["failed"] = "failed"


@dataclass(frozen=True)
class Ended:
    """The process ends in good order; without this line it was killed."""

    at: str
    interrupted: bool
    entry: Literal["ended"] = "ended"


Entry = Planned | Built | Started | Finished | Failed | Ended


@cache
def _adapter() -> TypeAdapter[Entry]:
    return TypeAdapter(Annotated[Entry, Field(discriminator="entry")], config=ConfigDict(extra="forbid"))


def now() -> str:
    """The time as entries have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Journal:
    """A journal that this process, and no other, appends to; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Opens the journal of a folder, which may be new.

        Raises UserError where another process has it open or it cannot be written.
        """
        self._path = path = folder / FILE
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise UserError(
                f"another process is running the sweep in {folder}: look at it with `fusekit watch {folder}`, or give "
                f"another folder with -o"
            ) from None
        os.ftruncate(self._file, _whole(path.read_bytes()))

    def append(self, entry: Entry) -> None:
        """Writes an entry; it is on the disk when this returns. Raises UserError where that is full."""
        line = _adapter().dump_json(entry) + b"\n"
        with writing(self._path):
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Tail:
    """What a journal had up to a byte; `read` goes on from there."""

    path: Path
    offset: int = 0
    entries: tuple[Entry, ...] = ()

    def read(self) -> Tail:
        """The journal as it is by now; raises UserError for one that is damaged or not there."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                new = file.read()
        except OSError as error:
            raise UserError(
                f"{self.path.parent} holds no sweep ({error.strerror}): give the folder of `fusekit sweep`"
            ) from None
        lines = new[: _whole(new)].splitlines()
        try:
            entries = tuple(_adapter().validate_json(line) for line in lines)
        except ValidationError as error:
            raise UserError(
                f"{self.path} is damaged, or of another fusekit ({error.errors()[0]['msg']}): start the sweep in another folder with -o"
            ) from None
        return Tail(self.path, self.offset + _whole(new), self.entries + entries)


def read_journal(folder: Path) -> tuple[Entry, ...]:
    """The entries of a sweep's folder so far; raises UserError where it holds none."""
    return Tail(folder / FILE).read().entries


def is_sweep(folder: Path) -> bool:
    """Whether a folder is one of `fusekit sweep`."""
    return (folder / FILE).is_file()


def _whole(content: bytes) -> int:
    """Bytes of the lines that have an end."""
    return content.rfind(b"\n") + 1
