"""The one folder in which fusekit keeps what it can build again."""

import os
import tempfile
from pathlib import Path

from .errors import UserError


def cache_dir() -> Path:
    """The cache folder, created if absent: `FUSEKIT_CACHE`, or `~/.cache/fusekit`.

    Raises UserError when it cannot be created.
    """
    folder = Path(os.environ.get("FUSEKIT_CACHE") or Path.home() / ".cache" / "fusekit").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {folder} cannot be created ({error.strerror}); "
            "set FUSEKIT_CACHE to a folder that can be written"
        ) from None
    return folder


def store(path: Path, content: bytes) -> None:
    """Writes a file so that other processes see it complete or not at all; parent folders are created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
