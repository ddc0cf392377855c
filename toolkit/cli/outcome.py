"""How a command ends that ran variants on a device."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ...errors import UserError
from ..measure.record import RunRecord


def refuse_if_nothing_ran(records: Sequence[RunRecord]) -> None:
    """Raises UserError with the device's one sentence where no variant got as far as its outputs."""
    said = {record.error.message for record in records if record.error is not None and not record.checks}
    if len(said) == 1 and not any(record.checks for record in records):
        raise UserError(said.pop())


def exit_if_any_failed(records: Sequence[RunRecord]) -> None:
    """Exits with code 1 where an output was wrong or a variant did not run."""
    if any(record.error is not None for record in records):
        raise typer.Exit(1)
