"""Lane groups: what a window reads where its lanes run across the groups of a grouped convolution.

Each output of a group sums over all inputs of its group. A vector of outputs of several groups then takes, step by step, one element of each group:
a load of whole groups and a shuffle within them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..emit import Emitter, Value
from ..expr import Guard, Load
from ..index import Axis
from ..stage import Stage


@dataclass(frozen=True)
class LaneGroups:
    """Inputs and lanes (outputs) of a group, and the reduce axis that counts its inputs; None where it has one.

    Inputs are taps along rows: a window's columns never slide along them.
    """

    inputs: int
    lanes: int
    axis: int | None

    def reader(self, e: Emitter, dtype: str, number: int, lanes: int) -> Callable[[Value], Value]:
        """Reads input `number` of each group from a pointer on, in all lanes of the group."""
        inputs = lanes // self.lanes * self.inputs
        spread = e.shuffle(inputs, [i // self.lanes * self.inputs + number for i in range(lanes)])
        return lambda pointer: spread(e.load(pointer, dtype, inputs))


def lane_groups(stage: Stage, lane: int) -> LaneGroups | None:
    """How the stage reads its first operand along the axis `lane`, if it does so by groups whose inputs are neighbours in memory; None else."""
    expr = stage.operands[0].inlined()
    box, load = (expr.box, expr.inside) if isinstance(expr, Guard) else ((), expr)
    if not isinstance(load, Load):
        return None
    (address,) = load.map
    quotients = [t for t in address.terms if isinstance(t.inner, Axis) and t.inner.id == lane and t.div > 1]
    if len(quotients) != 1 or quotients[0].mod:
        return None
    inputs, lanes = quotients[0].scale, quotients[0].div
    if inputs == 1:
        return LaneGroups(1, lanes, None)
    padded = {axis for bound in box for axis in bound.index.axes}
    for axis in stage.reduce:
        if axis.extent == inputs and address.coefficient(axis.id) == 1 and axis.id not in padded:
            return LaneGroups(inputs, lanes, axis.id)
    return None
