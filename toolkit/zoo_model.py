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
        from .zoo import export

        name = text.removeprefix(PREFIX)
        with tempfile.TemporaryDirectory(prefix="fusekit-zoo-") as folder:
            file = export(name, Path(folder, f"{name}.onnx"))
            try:
                yield file
            except UserError as error:
                if str(file) not in str(error):
                    raise
                raise UserError(str(error).replace(str(file), text)) from error
        return
    path = Path(text)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(
            f"model {path} {what}: give an ONNX file, or zoo:NAME from `fusekit zoo list` such as zoo:mobilenet_v2"
        )
    yield path
