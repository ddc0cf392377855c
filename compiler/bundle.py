"""Bundle: everything that a device or a program needs of a compiled model, as files."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError

SCHEMA = 1
FILES = ("model.o", "model.h", "weights.bin", "manifest.json")
MAX_THREADS = 8
"""The most threads that a model is compiled for."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: ONNX name, numpy dtype name, shape, bytes; for outputs how far they may be off (see `tolerance`)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    rtol: float = 0.0
    atol: float = 0.0


@dataclass(frozen=True)
class KernelInfo:
    """One step of a run: the kernel's symbol, the model's nodes and ops in it, work and traffic, and how it is scheduled."""

    name: str
    label: str
    ops: tuple[str, ...]
    flops: int
    bytes: int
    schedule: str


@dataclass(frozen=True)
class TargetInfo:
    """What the code runs on; `features` as in /proc/cpuinfo."""

    name: str
    triple: str
    cpu: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """manifest.json, parsed; `files` has the SHA-256 of the bundle's other files by name."""

    schema: int
    name: str
    hash: str
    symbol: str
    model_sha256: str
    compiler: str
    target: TargetInfo
    fusion: str
    bands: bool
    threads: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    kernels: tuple[KernelInfo, ...]
    arena_bytes: int
    weights_bytes: int
    scratch_bytes: int
    code_bytes: int
    files: Mapping[str, str]

    def to_json(self) -> str:
        """Canonical text: equal manifests give equal bytes."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @staticmethod
    def from_json(text: str | bytes) -> Manifest:
        """The manifest of `text`, which is UTF-8; UserError for another schema or no manifest at all."""
        try:
            raw: dict[str, Any] = json.loads(text.decode() if isinstance(text, bytes) else text)
            if raw.get("schema") != SCHEMA:
                raise UserError(
                    f"the bundle's manifest has schema {raw.get('schema')}, this fusekit reads {SCHEMA}: compile the model again"
                )
            return Manifest(
                **{
                    **raw,
                    "target": TargetInfo(**{**raw["target"], "features": tuple(raw["target"]["features"])}),
                    "inputs": tuple(_tensor(t) for t in raw["inputs"]),
                    "outputs": tuple(_tensor(t) for t in raw["outputs"]),
                    "kernels": tuple(KernelInfo(**{**k, "ops": tuple(k["ops"])}) for k in raw["kernels"]),
                    "files": dict(raw["files"]),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                f"the bundle's manifest.json is damaged ({error}): compile the model again"
            ) from None


@dataclass(frozen=True)
class Bundle:
    """The files of a compiled model by name; those of the cache also lie in a folder whose files never change."""

    manifest: Manifest
    files: Mapping[str, bytes]
    cached_in: Path | None = field(default=None, compare=False)

    def with_file(self, name: str, content: bytes) -> Bundle:
        """The bundle with one more file, which the manifest lists too."""
        manifest = replace(self.manifest, files={**self.manifest.files, name: sha256(content)})
        files = {**self.files, name: content, "manifest.json": manifest.to_json().encode()}
        return Bundle(manifest, files)

    def write(self, folder: Path) -> None:
        """Write all files to `folder`, which appears whole or not at all; an older bundle there is replaced.

        UserError where `folder` holds anything else or cannot be written.
        """
        # the folder itself, so that a link to it stays
        place = Path(os.path.realpath(folder))
        try:
            if place.exists() and not place.is_dir():
                raise UserError(f"{folder} exists and is no folder: name an empty or new folder with -o")
            if place.exists() and any(place.iterdir()) and not _is_bundle(place):
                raise UserError(f"{folder} exists and is no bundle: name an empty or new folder with -o")
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as part:
                self._put(Path(part), place)
        except OSError as error:
            raise UserError(
                f"the bundle cannot be written to {folder} ({error.strerror}): name a folder that can be written with -o"
            ) from None

    def _put(self, part: Path, place: Path) -> None:
        """Make the new bundle in `part`, beside `place`, and swap it with what is there."""
        new, old = part / "new", part / "old"
        new.mkdir()
        for name, content in self.files.items():
            (new / name).write_bytes(content)
        if place.exists():
            os.replace(place, old)
        try:
            os.replace(new, place)
        except OSError:
            if old.exists():
                os.replace(old, place)
            raise

    @staticmethod
    def read(folder: Path) -> Bundle:
        """The bundle in `folder`; UserError where that is none or a file is not what the manifest says."""
        folder = Path(folder)
        try:
            if not (folder / "manifest.json").is_file():
                raise UserError(
                    f"{folder} is no bundle: it has no manifest.json; make one with fusekit compile MODEL -o {folder}"
                )
            missing = [name for name in FILES if not (folder / name).is_file()]
            if missing:
                raise UserError(f"the bundle {folder} lacks {', '.join(missing)}: compile the model again")
            files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        except OSError as error:
            raise UserError(
                f"the bundle {folder} cannot be read ({error.strerror}): make its files readable"
            ) from None
        manifest = Manifest.from_json(files["manifest.json"])
        for name, digest in manifest.files.items():
            if name in files and sha256(files[name]) != digest:
                raise UserError(
                    f"{name} of the bundle {folder} is damaged, it is not what manifest.json says: compile the model again"
                )
        return Bundle(manifest, files)


def sha256(content: bytes | mmap.mmap) -> str:
    """The digest by which a manifest knows a file."""
    return hashlib.sha256(content).hexdigest()


def _tensor(raw: dict[str, Any]) -> TensorInfo:
    tensor = TensorInfo(**{**raw, "shape": tuple(raw["shape"])})
    # memory is handed to native code by these numbers
    dtype = np.dtype(tensor.dtype)
    if dtype.kind not in "fiub" or not all(isinstance(n, int) and n >= 0 for n in tensor.shape):
        raise ValueError(f"{tensor.name} cannot be {tensor.dtype}{list(tensor.shape)}")
    if math.prod(tensor.shape) * dtype.itemsize != tensor.bytes:
        raise ValueError(f"{tensor.name} {tensor.dtype}{list(tensor.shape)} is not {tensor.bytes} bytes")
    return tensor


def _is_bundle(folder: Path) -> bool:
    """Whether fusekit made the folder, with this schema or an older one."""
    try:
        raw = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and "schema" in raw and str(raw.get("symbol")).startswith("fk_model_")
