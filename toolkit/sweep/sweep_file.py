"""What a sweep is to measure, from one YAML file.

models: [zoo:mobilenet_v2, {model: face.onnx, shapes: {input: [1, 3, 192, 192]}}]
devices: [tag:lab, rpi5]
fusion: [none, basic, full]
threads: [1, 4]
bands: [on, off]
rounds: 10
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ...compiler.bundle import MAX_THREADS
from ...compiler.fusion import LEVELS, Level
from ...devices.selection import suggest
from ...devices.strict_yaml import read_yaml
from ...errors import UserError
from ..zoo_model import PREFIX

T = TypeVar("T")


def _several(given: object) -> object:
    """One value stands for a list of it; what is given twice counts once."""
    values = given if isinstance(given, list) else [given]
    return tuple(value for place, value in enumerate(values) if value not in values[:place])


def _model(given: object) -> object:
    return {"model": given} if isinstance(given, str) else given


def _winograd(given: object) -> object:
    # YAML reads the word off as false; on is what the command line calls auto
    return True if given == "auto" else given


Several = Annotated[tuple[T, ...], Field(min_length=1), BeforeValidator(_several)]


class _Mapping(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SweptModel(_Mapping):
    """A model and the shapes of its inputs with dynamic dimensions."""

    model: Annotated[str, Field(min_length=1)]
    shapes: Mapping[str, Annotated[tuple[int, ...], Field(strict=False, min_length=1)]] = {}


class SweepFile(_Mapping):
    """Every model is measured on every device, with every combination of `bands` and `winograd`.

    Levels and thread counts of one such measurement take turns in one process. The rest is as `fusekit bench` has it.
    """

    models: Several[Annotated[SweptModel, BeforeValidator(_model)]]
    devices: Several[str]
    """What `--device` takes: names, tag:WORD, group:NAME, all."""
    fusion: Several[Level] = LEVELS
    threads: Several[Annotated[int, Field(ge=1, le=MAX_THREADS)]] = (1,)
    bands: Several[bool] = (True,)
    winograd: Several[Annotated[bool, BeforeValidator(_winograd)]] = (True,)
    rounds: Annotated[int, Field(ge=1)] = 10
    round_ms: Annotated[int, Field(ge=1)] = 100
    cpus: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    counters: bool = False


def load_sweep_file(path: Path) -> SweepFile:
    """Read a sweep file; paths of models in it are relative to its folder.

    Every mistake is a UserError that names the file and the key.
    """
    if not path.is_file():
        raise UserError(
            f"there is no sweep file {path}: write one with `models:` and `devices:`, see docs/sweeps.md"
        )
    given = read_yaml(path)
    if not isinstance(given, dict):
        raise UserError(f"{path} must be a mapping with at least `models:` and `devices:`")
    try:
        sweep = SweepFile.model_validate(given)
    except ValidationError as error:
        raise UserError(f"{path}: {_sentence(error.errors()[0])}") from None
    models = tuple(
        swept.model_copy(update={"model": _absolute(swept.model, path.parent)}) for swept in sweep.models
    )
    return sweep.model_copy(update={"models": models})


def _absolute(model: str, folder: Path) -> str:
    return model if model.startswith(PREFIX) else str(folder.absolute() / Path(model).expanduser())


def _sentence(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = list((SweptModel if len(error["loc"]) > 1 else SweepFile).model_fields)
        return f"unknown key {where!r}: {suggest(str(error['loc'][-1]), known)}known are {', '.join(known)}"
    if error["type"] == "missing":
        return f"`{where}` is missing"
    if error["type"] == "too_short":
        return f"`{where}` is empty: give at least one"
    hint = ""
    if error["type"] == "literal_error" and isinstance(error["input"], str):
        hint = suggest(error["input"], LEVELS)
    problem = error["msg"][0].lower() + error["msg"][1:]
    return f"`{where}` is {_short(error['input'])}: {hint}{problem}"


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "…"
