"""MODEL arguments: a path of an ONNX file, or `zoo:NAME` for a net that fusekit builds itself."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError

PREFIX = "zoo:"


@contextmanager
def model_path(model: str | os.PathLike[str]) -> Iterator[Path]:
    """The file of a model for as long as the context lasts; a zoo net is written to a temporary one.

    Raises UserError for a file that is not there and for an unknown net.
    """
    text = os.fspath(model)
    if text.startswith(PREFIX):
        with tempfile.TemporaryDirectory(prefix="fusekit-zoo-") as folder:
            yield export_zoo_model(text.removeprefix(PREFIX), Path(folder))
        return
    path = Path(text)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(
            f"model {path} {what}: give an ONNX file, or zoo:NAME from `fusekit zoo list` such as zoo:mobilenet_v2"
        )
    yield path


def export_zoo_model(name: str, folder: Path) -> Path:
    """Writes NAME.onnx to the folder and returns its path; raises UserError for an unknown net."""
    from .zoo import export

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    export(name, path)
    return path
