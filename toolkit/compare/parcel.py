"""What a board is sent of one model: the model as each engine reads it, its inputs, and the work."""

from __future__ import annotations

import hashlib
import io
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from ..api import compile
from ..link import link_shared
from ..measure.stage import runner_arch
from .board import MODEL, TFLITE, WORK, Work, input_name
from .contest import Terms
from .engine import Engine, Job, NotAvailable
from .engines.bundled import Bundled
from .engines.fusekit import Fusekit
from .engines.ncnn import BIN, PARAM, Ncnn, convert
from .record import Rules
from .session import Subject


@dataclass(frozen=True)
class Parcel:
    """Files by name as `Device.put` takes them, the engines as they run there, and why others cannot."""

    files: dict[str, bytes] = field(default_factory=dict)
    engines: dict[str, Engine] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def pack(subject: Subject, engines: Mapping[str, Engine], rules: Rules) -> Parcel:
    """Compiles and converts here what boards cannot; raises UserError where fusekit does not compile the model."""
    parcel = Parcel()
    for name, engine in engines.items():
        try:
            parcel.engines[name] = _on_board(name, engine, subject, rules, parcel.files)
        except NotAvailable as error:
            parcel.absent[name] = str(error)
    parcel.files[MODEL] = _whole(subject.path)
    if subject.tflite is not None:
        parcel.files[TFLITE] = subject.tflite.read_bytes()
    for number, array in enumerate(subject.feeds.values()):
        parcel.files[input_name(number)] = _npy(array)
    terms = Terms(rules.cpus, rules.rounds, rules.turn_ms)
    work = Work(parcel.engines, tuple(subject.feeds), subject.outputs, rules.threads, terms)
    parcel.files[WORK] = pickle.dumps(work, protocol=4)
    return parcel


def _on_board(name: str, engine: Engine, subject: Subject, rules: Rules, files: dict[str, bytes]) -> Engine:
    """The engine as it runs on a board, whose files are added; raises NotAvailable."""
    match engine:
        case Fusekit():
            return _bundled(name, engine.fusion, subject, rules, files)
        case Ncnn():
            with tempfile.TemporaryDirectory(prefix="fusekit-ncnn-") as folder:
                job = Job(subject.path, None, subject.feeds, subject.outputs, rules.threads, Path(folder))
                param = convert(job)
                files[PARAM] = param.read_bytes()
                files[BIN] = param.with_name(BIN).read_bytes()
            return Ncnn(converted=True)
    return engine


def _bundled(name: str, fusion: str, subject: Subject, rules: Rules, files: dict[str, bytes]) -> Bundled:
    bundle = subject.bundle
    target = bundle.manifest.target
    if bundle.manifest.fusion != fusion:
        shapes = {name: array.shape for name, array in subject.feeds.items()}
        bundle = compile(subject.path, target.name, fusion, rules.threads, shapes=shapes)
    weights = bundle.files["weights.bin"]
    # levels share their weights
    engine = Bundled(f"{name}.json", f"{name}.so", f"weights.{hashlib.sha256(weights).hexdigest()[:16]}.bin")
    files[engine.manifest] = bundle.files["manifest.json"]
    files[engine.code] = link_shared(bundle.files["model.o"], runner_arch(target.triple))
    files[engine.weights] = weights
    return engine


def _whole(model: Path) -> bytes:
    """The model as one file."""
    content = model.read_bytes()
    # "location" is the key by which a model names files of weights
    return onnx.load(model).SerializeToString() if b"location" in content else content


def _npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
