"""Maker: grows a random ONNX model, one step after the other, on any of the values made so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .choices import Choices
from .draft import Draft, Refused, Tensor

LARGEST = 3000
"""Elements of a value."""

VAGUE, TINY = 1e-3, 1e-2
"""A value whose error is a larger share of its magnitude proves nothing, but magnitudes below the second may be all rounding."""

LARGE = 1e6
"""Values stay below this; ONNX Runtime's maximum of a window that meets nothing but pads does not."""

RECENT = 4
"""How many of the latest values a step may start from."""


class Maker(Choices):
    """A draft, the draws that shape it, and the values that later steps may read."""

    def __init__(self, draft: Draft, draw: Callable[..., object]) -> None:
        super().__init__(draw)
        self.draft = draft
        self.live: list[Tensor] = []

    def recent(self) -> Tensor:
        """One of the latest values, shrinking toward the last."""
        return self.live[-1 - self.number(0, min(len(self.live), RECENT) - 1)]

    def apply(self, step: Step, x: Tensor) -> Tensor:
        """What `step` makes of `x`; `x` itself where that is too large, or too uncertain to prove anything, or refused by ONNX Runtime."""
        draft = self.draft
        made, marked, live = len(draft.nodes), set(draft.marked), list(self.live)
        try:
            result = step(self, x)
            recent = [draft.tensors[name] for node in draft.nodes[made:] for name in node.output]
            if all(_usable(tensor) for tensor in recent):
                return result
        except Refused:
            pass
        del draft.nodes[made:]
        draft.marked, self.live = marked, live
        return x

    def step(self, steps: Sequence[Steps]) -> None:
        """One random step on a recent value; its result is live, and at times an output."""
        x = self.recent()
        fitting = [step for table in steps if x.rank in table.ranks for step in table.steps.values()]
        result = self.apply(self.pick(*fitting), x)
        if result is not x:
            self.live.append(result)
            if self.chance(8):
                self.draft.marked.add(result.name)


Step = Callable[[Maker, Tensor], Tensor]
"""Adds nodes to the draft and returns a value of them, or returns its operand where it does not apply."""


@dataclass(frozen=True)
class Steps:
    """Steps of one kind and the ranks that they take."""

    ranks: Sequence[int]
    steps: Mapping[str, Step]


def _usable(tensor: Tensor) -> bool:
    if tensor.data.size > LARGEST or not tensor.data.size:
        return False
    return (
        bool(np.isfinite(tensor.data).all())
        and tensor.bound < LARGE
        and tensor.error <= VAGUE * max(tensor.bound, TINY)
    )
