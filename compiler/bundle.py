"""Bundle: everything that a device or a program needs of a compiled model, as files."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError

SCHEMA = 1
FILES = ("model.o", "model.h", "weights.bin", "manifest.json")


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
    """manifest.json, parsed."""

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

    def to_json(self) -> str:
        """Canonical text: equal manifests give equal bytes."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Manifest:
        """The manifest of `text`; UserError for another schema or no manifest at all."""
        try:
            raw: dict[str, Any] = json.loads(text)
            if raw.get("schema") != SCHEMA:
                raise UserError(
                    f"the bundle's manifest has schema {raw.get('schema')}, this fusekit reads {SCHEMA}: compile the model again"
                )
            return Manifest(
                **{
                    **raw,
                    "target": TargetInfo(**{**raw["target"], "features": tuple(raw["target"]["features"])}),
                    "inputs": tuple(TensorInfo(**{**t, "shape": tuple(t["shape"])}) for t in raw["inputs"]),
                    "outputs": tuple(TensorInfo(**{**t, "shape": tuple(t["shape"])}) for t in raw["outputs"]),
                    "kernels": tuple(KernelInfo(**{**k, "ops": tuple(k["ops"])}) for k in raw["kernels"]),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UserError(
                f"the bundle's manifest.json is damaged ({error}): compile the model again"
            ) from None


@dataclass(frozen=True)
class Bundle:
    """The files of a compiled model by name."""

    manifest: Manifest
    files: Mapping[str, bytes]

    def with_file(self, name: str, content: bytes) -> Bundle:
        """The bundle with one more file."""
        return replace(self, files={**self.files, name: content})

    def write(self, folder: Path) -> None:
        """Write all files to `folder`, which appears whole or not at all; an older bundle there is replaced."""
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").exists():
            raise UserError(f"{folder} exists and is no bundle: name an empty or new folder with -o")
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            part.chmod(0o755)
            for name, content in self.files.items():
                (part / name).write_bytes(content)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @staticmethod
    def read(folder: Path) -> Bundle:
        """The bundle in `folder`; UserError where that is none."""
        folder = Path(folder)
        manifest = folder / "manifest.json"
        if not manifest.is_file():
            raise UserError(
                f"{folder} is no bundle: it has no manifest.json; make one with fusekit compile MODEL -o {folder}"
            )
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"the bundle {folder} lacks {', '.join(missing)}: compile the model again")
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        return Bundle(Manifest.from_json(manifest.read_text(encoding="utf-8")), files)
