"""What was timed, kept by kernel and CPU in the cache folder: a tuning that was interrupted, or another model's, goes on from there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ...cache import cache_dir, store
from ...compiler.choice import Choice, Signature
from ...compiler.kernel_cache import code_version
from ...compiler.target import Target
from ...devices.device import Facts
from ..measure.statistics import Speedup


@dataclass(frozen=True)
class Trial:
    """A choice and what it gained."""

    choice: Choice
    gain: Speedup


_TRIALS = TypeAdapter(tuple[Trial, ...])


class TrialCache:
    """The trials of one CPU, target and version of the compiler, a file for each signature."""

    def __init__(self, facts: Facts, target: Target) -> None:
        self._folder = cache_dir() / "tune" / _digest(f"{cpu_name(facts)} {target.cpu} {code_version()}")
        self._known: dict[Signature, dict[Choice, Speedup]] = {}

    def of(self, signature: Signature) -> Mapping[Choice, Speedup]:
        """The gains by choice; a damaged file counts as none."""
        if signature not in self._known:
            try:
                trials = _TRIALS.validate_json(self._file(signature).read_bytes())
            except (OSError, ValidationError):
                trials = ()
            self._known[signature] = {trial.choice: trial.gain for trial in trials}
        return self._known[signature]

    def add(self, signature: Signature, choice: Choice, gain: Speedup) -> None:
        """Remember a trial, here and in the file."""
        known = self._known[signature] = {**self.of(signature), choice: gain}
        store(self._file(signature), _TRIALS.dump_json(tuple(Trial(c, g) for c, g in known.items())))

    def _file(self, signature: Signature) -> Path:
        return self._folder / f"{_digest(str(signature))}.json"


def cpu_name(facts: Facts) -> str:
    """The CPU as a table shows it: its model, or the board's with its part numbers."""
    return " ".join([facts.model or facts.arch, *facts.cpu_parts])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
