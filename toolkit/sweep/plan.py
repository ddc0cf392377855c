"""From a sweep file and its devices to the jobs of the sweep."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from ... import __version__
from ...compiler import kernel_cache
from ...compiler.kernel_cache import code_version
from ...compiler.target import find_target
from ...devices import DeviceEntry
from ...errors import UserError
from ..measure.record import Settings
from ..zoo_model import model_path
from .job import Job, Recipe
from .sweep_file import SweepFile, SweptModel

_COMPILER = Path(kernel_cache.__file__).parent


def make_plan(sweep: SweepFile, devices: Sequence[DeviceEntry]) -> tuple[Job, ...]:
    """The jobs of a sweep, model by model: devices that do the same model at about the same time share its code.

    Raises UserError for a model that is not there, two models of one name, and a target that does not exist.
    """
    _refuse_namesakes(sweep.models)
    targets = {entry.name: find_target(entry.target).name for entry in devices}
    settings = Settings(
        rounds=sweep.rounds, round_ms=sweep.round_ms, cpus=sweep.cpus, counters=sweep.counters
    )
    jobs = []
    for swept in sweep.models:
        sha256 = model_sha256(swept.model)
        for bands, winograd in itertools.product(sweep.bands, sweep.winograd):
            said = [f"bands {'on' if bands else 'off'}"] if len(sweep.bands) > 1 else []
            said += [f"winograd {'auto' if winograd else 'off'}"] if len(sweep.winograd) > 1 else []
            for entry in devices:
                recipe = Recipe(
                    model=swept.model,
                    model_sha256=sha256,
                    target=targets[entry.name],
                    fusions=sweep.fusion,
                    threads=sweep.threads,
                    bands=bands,
                    winograd=winograd,
                    shapes=tuple(sorted(swept.shapes.items())),
                    seed=settings.seed,
                    compiler=compiler_hash(),
                )
                jobs.append(Job(recipe, entry, settings, ", ".join(said)))
    return tuple(jobs)


@cache
def compiler_hash() -> str:
    """Of this fusekit's compiler and its tables: two installations with the same one generate the same bundles."""
    digest = hashlib.sha256(f"{__version__} {code_version()}".encode())
    for path in sorted(_COMPILER.rglob("*")):
        if path.is_file() and not path.suffix.startswith(".py"):
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def model_sha256(model: str) -> str:
    """Hash of a model's bytes, its weights in files beside it included; raises UserError where there is no model."""
    digest = hashlib.sha256()
    with model_path(model) as path:
        for file in model_files(path):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def model_files(path: Path) -> list[Path]:
    """The file of a model and those that its weights lie in; none outside its folder, which the compiler refuses."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        weights = onnx.load(path, load_external_data=False).graph.initializer
    except DecodeError:
        return [path]  # the compiler says what is wrong with it
    places = (entry.value for tensor in weights for entry in tensor.external_data if entry.key == "location")
    inside = (
        place
        for place in dict.fromkeys(places)
        if not Path(place).is_absolute() and ".." not in Path(place).parts
    )
    files = [file for place in inside if (file := path.parent / place).is_file()]
    folder = path.parent.resolve()
    return [path, *(file for file in files if file.resolve().is_relative_to(folder))]


def _refuse_namesakes(models: Iterable[SweptModel]) -> None:
    names: dict[str, str] = {}
    for swept in models:
        name = Path(swept.model.removeprefix("zoo:")).stem
        if name in names:
            raise UserError(
                f"{names[name]} and {swept.model} are both called {name}: rename one, tables tell them by name"
            )
        names[name] = swept.model
