"""What a kernel has to do at least: operations in its vector pipes and bytes to and from memory, by its group of stages."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ...compiler.compile import Stages
from ...compiler.expr import Expr, cost, loads
from ...compiler.stage import Group, Stage
from ...compiler.target import Machine


@dataclass(frozen=True)
class Work:
    """Of one kernel in one inference."""

    label: str
    ops: tuple[str, ...]
    flops: int
    """Multiplications and additions of the heavy operators."""
    slots: int
    """Operations a lane: a multiply-add is one, a division or root as many as it costs, a load none."""
    read_bytes: int
    written_bytes: int
    weight_bytes: int

    @property
    def bytes(self) -> int:
        """All that moves, each byte once."""
        return self.read_bytes + self.written_bytes + self.weight_bytes


def work_of(stages: Stages) -> tuple[Work, ...]:
    """The work of every step of the plan, in order."""
    return tuple(_work(stages, group) for group in stages.fused.groups)


def _work(stages: Stages, group: Group) -> Work:
    written = set(group.writes())
    sizes = {name: stages.placed.types[name].nbytes for name in {*group.reads(), *written}}
    weights = sum(size for name, size in sizes.items() if name in stages.constants)
    writes = sum(size for name, size in sizes.items() if name in written)
    label = group.nodes[0] if group.nodes else group.root.anchor
    slots = sum(_slots(stage, stages.target.machine) for stage in group.stages)
    flops = sum(stage.flops for stage in group.stages)
    return Work(label, group.ops, flops, slots, sum(sizes.values()) - weights - writes, writes, weights)


def _slots(stage: Stage, machine: Machine) -> int:
    """The anchor's own, its epilogues at every output and its prologues at every element of their operands."""
    outputs = prod(axis.extent for axis in stage.axes)
    multiplies = len(stage.operands) > 1
    anchor = stage.terms * (2 if multiplies and not machine.has_fma else 1)
    epilogues = outputs * _operations(*(store.value for store in stage.stores))
    prologues = sum(prod(a.extent for a in o.axes) * _operations(o.expr) for o in stage.operands)
    return anchor + epilogues + prologues


def _operations(*exprs: Expr) -> int:
    return cost(*exprs) - len(loads(*exprs))
