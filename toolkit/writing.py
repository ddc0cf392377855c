"""What a person is told where a file cannot be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of what is written to `path` into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): name another place with -o"
        ) from None


def check_writable(path: Path) -> None:
    """Makes the folder of `path`, so that work of minutes is not lost for want of it; raises UserError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
