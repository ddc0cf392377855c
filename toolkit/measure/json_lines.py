"""Records as lines of JSON: written whole or not at all, read with one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from ...cache import store
from ...errors import UserError
from ..writing import writing


class _Versioned(Protocol):
    @property
    def schema(self) -> int: ...


Record = TypeVar("Record", bound=_Versioned)


@dataclass(frozen=True)
class Kind(Generic[Record]):
    """A kind of record: how it is parsed, its schema, what people call it, the command that makes it and its arguments."""

    adapter: TypeAdapter[Record]
    schema: int
    noun: str
    command: str
    arguments: str


def write_lines(path: Path, records: Iterable[Record], kind: Kind[Record]) -> None:
    """Writes `path`, whole or not at all; raises UserError where it cannot be written."""
    with writing(path):
        store(path, b"".join(kind.adapter.dump_json(record) + b"\n" for record in records))


def read_lines(paths: Sequence[Path], kind: Kind[Record]) -> list[Record]:
    """Records of all files, in order; a folder stands for the `*.jsonl` in it.

    Raises UserError for a file that is absent, empty, of another schema or not made of such records.
    """
    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    records = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read records from {file}: {_reason(error)}") from error
        for number, line in enumerate(lines, 1):
            try:
                records.append(kind.adapter.validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"]) or "the line"
                raise UserError(
                    f"{file}:{number} is no {kind.noun} of schema {kind.schema} ({where}: {first['msg']}): "
                    f"make one with {kind.command}"
                ) from error
            if records[-1].schema != kind.schema:
                raise UserError(
                    f"{file}:{number} has schema {records[-1].schema} where this fusekit reads {kind.schema}: "
                    f"run {kind.command} again"
                )
    if not records:
        given = ", ".join(str(path) for path in paths) or "nothing"
        raise UserError(f"no records in {given}: make some with {kind.command} {kind.arguments}")
    return records


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is not text"
