"""What a sweep consists of: recipes, each compiled once, and jobs, each one session of a device."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from ...compiler.fusion import Level
from ...devices import DeviceEntry
from ..measure.record import Settings
from ..zoo_model import PREFIX


@dataclass(frozen=True)
class Recipe:
    """One model for one target with one set of options, at every level and thread count of the sweep."""

    model: str
    """A path or zoo:NAME: where to find the bytes, no part of the key."""
    model_sha256: str
    """Of the model's file and of the files that its weights lie in."""
    target: str
    fusions: tuple[Level, ...]
    threads: tuple[int, ...]
    bands: bool
    winograd: bool
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    seed: int
    compiler: str
    """Hash of what decides the code besides the model and the options."""

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.model.removeprefix(PREFIX) if self.model.startswith(PREFIX) else Path(self.model).stem

    @cached_property
    def key(self) -> str:
        """Equal where the bundles are: 16 hexadecimal digits."""
        return _hash({**asdict(self), "model": self.name})


@dataclass(frozen=True)
class Job:
    """One session: the variants of a recipe take turns in one process on one device.

    Levels and thread counts belong to one job because only what took turns may be compared. Models, devices and options
    are jobs of their own, which may run anywhere, at any time, in any order.
    """

    recipe: Recipe
    device: DeviceEntry
    settings: Settings
    options: str = ""
    """The options that tell this job from others of its model and device; for people, no part of the key."""

    @cached_property
    def key(self) -> str:
        """Equal where the measurement is: 16 hexadecimal digits."""
        return _hash(
            {"recipe": self.recipe.key, "device": self.device.name, "settings": asdict(self.settings)}
        )

    @property
    def label(self) -> str:
        """The model, with the options that tell it from others."""
        return f"{self.recipe.name} ({self.options})" if self.options else self.recipe.name


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
