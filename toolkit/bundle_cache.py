"""Bundles that were compiled before, found by everything that decides their bytes.

cache/bundles/<hash of the model, of the options, and of fusekit's sources and the packages that it compiles with>/

Reading one takes a twentieth of the time that compiling takes when every kernel is cached. Those used longest ago go when there
are more than `MOST_BUNDLES` or all of them are larger than `MOST_BYTES`.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import llvmlite
import numpy as np
import onnx

from .. import __version__
from ..cache import cache_dir
from ..compiler.bundle import Bundle, Manifest, sha256
from ..compiler.compile import Options
from ..compiler.target import find_target
from ..errors import UserError

MOST_BUNDLES, MOST_BYTES = 256, 1 << 30

_PACKAGE = Path(__file__).parents[1]
_SOURCES = ("compiler", "toolkit/link")
_SUFFIXES = (".py", ".toml", ".c", ".h")


def find_or_compile(path: Path, options: Options, compile: Callable[[Path, Options], Bundle]) -> Bundle:
    """The bundle of `path` from the cache; compiled, and kept for the next time, where it is not there."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_dir() / "bundles" / _key(path.stem, content, options)
    with suppress(UserError, OSError, KeyError):  # absent, no bundle, or just going
        found = _read(folder)
        os.utime(folder)
        if found is not None:
            return found
    bundle = compile(path, options)
    # "location" is the key by which a model names files of weights, which may change while it stays as it is
    if bundle.manifest.model_sha256 == content and b"location" not in path.read_bytes():
        with suppress(UserError, OSError):  # a full disk is no reason to withhold it
            shutil.rmtree(folder, ignore_errors=True)  # what is damaged cannot be written over
            bundle.write(folder)
            _make_room(folder)
    return bundle


class _MappedFiles(Mapping[str, bytes]):
    """Files of a folder, there even when the folder is gone, and read where something asks for their bytes."""

    def __init__(self, pages: Mapping[str, mmap.mmap | bytes]) -> None:
        self._pages = pages

    def __getitem__(self, name: str) -> bytes:
        return bytes(self._pages[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._pages)

    def __len__(self) -> int:
        return len(self._pages)

    def __reduce__(self) -> tuple[type[dict[str, bytes]], tuple[dict[str, bytes]]]:
        return dict, (dict(self),)


def _read(folder: Path) -> Bundle | None:
    """The bundle in `folder`; None where a file is not what the manifest says, UserError, OSError or KeyError where one is none or absent.

    Weights are told by their size alone, for hashing them would take as long as everything else.
    """
    files = {path.name: _mapped(path) for path in sorted(folder.iterdir())}
    manifest = Manifest.from_json(bytes(files["manifest.json"]))
    whole = len(files["weights.bin"]) == manifest.weights_bytes and all(
        sha256(files[name]) == digest for name, digest in manifest.files.items() if name != "weights.bin"
    )
    return Bundle(manifest, _MappedFiles(files), folder) if whole else None


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        return (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else b""
        )


def _key(name: str, content: str, options: Options) -> str:
    # a bundle carries the model's name
    ordered = replace(options, shapes=dict(sorted(options.shapes.items())))
    words = repr((name, content, ordered, find_target(options.target), _sources()))
    return hashlib.sha256(words.encode()).hexdigest()[:32]


@cache
def _sources() -> str:
    """What decides a bundle besides the model and the options; a source file is told by its size and time, as Python does for its own cache."""
    versions = [
        __version__, llvmlite.__version__, np.__version__, onnx.__version__, version("onnxruntime"),
    ]  # fmt: skip
    files = []
    for folder in _SOURCES:
        for where, _, names in os.walk(_PACKAGE / folder):
            for name in names:
                if name.endswith(_SUFFIXES):
                    state = os.stat(os.path.join(where, name))
                    files.append((where, name, state.st_size, state.st_mtime_ns))
    return repr((versions, sorted(files)))


def _make_room(newest: Path) -> None:
    """Remove what was used longest ago until the rest is few and small enough."""
    found = [folder for folder in newest.parent.iterdir() if folder != newest]
    total = _size(newest)
    for number, folder in enumerate(sorted(found, key=_last_use, reverse=True), start=2):
        total += _size(folder)
        if number > MOST_BUNDLES or total > MOST_BYTES:
            shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    total = 0
    with suppress(OSError):  # another process makes room too
        total = sum(file.stat().st_size for file in folder.iterdir())
    return total


def _last_use(folder: Path) -> int:
    with suppress(OSError):
        return folder.stat().st_mtime_ns
    return 0
