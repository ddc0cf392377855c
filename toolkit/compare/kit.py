"""The part of fusekit that runs on boards, as one program that needs Python 3.9 and numpy: python compare.zip NONCE."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

from ... import __version__

KIT = "compare.zip"
MODULES = (
    "errors",
    "compiler/__init__",
    "compiler/bundle",
    "toolkit/__init__",
    "toolkit/host_features",
    "toolkit/model",
    "toolkit/reference",
    "toolkit/measure/__init__",
    "toolkit/measure/denormals",
    *(
        f"toolkit/compare/{name}"
        for name in ("__init__", "board", "contest", "contestant", "engine", "message", "worker")
    ),
    *(
        f"toolkit/compare/engines/{name}"
        for name in ("__init__", "bundled", "litert", "mnn", "ncnn", "onnxruntime", "openvino")
    ),
)
_PACKAGE = Path(__file__).parents[2]


@cache
def kit() -> bytes:
    """The program; equal sources give equal bytes."""
    files = {
        "__main__.py": b"from fusekit.toolkit.compare.board import main\n\nmain()\n",
        "fusekit/__init__.py": f'__version__ = "{__version__}"\n'.encode(),
        **{f"fusekit/{module}.py": (_PACKAGE / f"{module}.py").read_bytes() for module in MODULES},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980
    return buffer.getvalue()
