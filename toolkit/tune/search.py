"""The search: from the analytic choice in one direction after the other, always on from the best choice so far.

It is a function of what has been timed, and asks for what has not. So it goes on where an interrupted one ended, and what one model's kernels
have shown holds for another's with the same signatures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...compiler.candidates import DIRECTIONS, candidates
from ...compiler.choice import Choice, Signature
from ...compiler.target import Machine
from ..measure.statistics import Speedup

AT_ONCE = 5
"""Variants timed beside the analytic one in a run: each has weights of its own in memory."""

Choices = Mapping[Signature, Choice]
Timer = Callable[[Sequence[Choices]], Sequence[Mapping[Signature, Speedup]]]
"""For variants of a model that differ from the analytic one by some choices, what each of these choices gains over the analytic one."""


class Trials(Protocol):
    """What has been timed."""

    def of(self, signature: Signature) -> Mapping[Choice, Speedup]: ...

    def add(self, signature: Signature, choice: Choice, gain: Speedup) -> None: ...


@dataclass(frozen=True)
class Subject:
    """A signature, its analytic choice, and the steps of the model whose kernels have it."""

    signature: Signature
    start: Choice
    steps: frozenset[int]


@dataclass(frozen=True)
class State:
    """How far the search for one signature is: the best choice so far, and what has to be timed before it can go on."""

    best: Choice
    wanted: tuple[Choice, ...]


def state(subject: Subject, known: Mapping[Choice, Speedup], machine: Machine) -> State:
    """The state that follows from what is known; nothing is wanted where the search is over."""
    best = subject.start
    for direction in DIRECTIONS:
        options = candidates(direction, best, subject.signature, machine)
        wanted = tuple(option for option in options if option not in known and option != subject.start)
        if wanted:
            return State(best, wanted)
        # The lower ends of the intervals: luck among many noisy times would else lead the search astray.
        best = max((best, *options), key=lambda c: 1.0 if c == subject.start else known[c].low)
    return State(best, ())


def search(
    subjects: Sequence[Subject], machine: Machine, trials: Trials, time: Timer, tell: Callable[[str], None]
) -> dict[Signature, Choice]:
    """The best choice of every signature; times what is not known yet and adds it to `trials`."""
    timed = 0
    while True:
        states = {s.signature: state(s, trials.of(s.signature), machine) for s in subjects}
        open_ = [s for s in subjects if states[s.signature].wanted]
        if not open_:
            return {signature: found.best for signature, found in states.items()}
        tell(f"{len(subjects) - len(open_)} of {len(subjects)} kernels searched, {timed} choices timed")
        wanted = {s.signature: states[s.signature].wanted[:AT_ONCE] for s in _apart(open_)}
        variants = [
            {signature: choices[number] for signature, choices in wanted.items() if number < len(choices)}
            for number in range(max(map(len, wanted.values())))
        ]
        for variant, gains in zip(variants, time(variants), strict=True):
            for signature, choice in variant.items():
                trials.add(signature, choice, gains[signature])
            timed += len(variant)


def _apart(subjects: Sequence[Subject]) -> list[Subject]:
    """As many as share no step: a kernel of several stages shows the effect of one choice at a time."""
    chosen: list[Subject] = []
    taken: set[int] = set()
    for subject in subjects:
        if not subject.steps & taken:
            chosen.append(subject)
            taken |= subject.steps
    return chosen
