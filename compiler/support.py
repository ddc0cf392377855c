"""Support: the bounds outside which the terms of a contraction are zero, where leaving those out is worth it."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from .anchors.pads import bounds_on
from .expr import Const, Guard
from .flatten import merge_axes
from .index import Bound
from .kernel import Place
from .stage import Operand, Stage
from .target import Machine

WORTH_LEAVING_OUT = 31 / 32
"""Sums leave out pads that were copied for them where less than this share of a window's taps, averaged over all rows, is inside."""


def left_out(stage: Stage, place: Place, operand: Operand) -> tuple[Bound, ...]:
    """Bounds of the zeros around an operand of a contraction that its sums leave out, though the copy that they read has them."""
    expr = operand.inlined()
    if stage.anchor != "contraction" or not (isinstance(expr, Guard) and isinstance(expr.outside, Const)):
        return ()
    if expr.outside.value != 0:
        return ()
    padded = replace(stage, support=expr.box)
    bounds = (bound for axis in stage.reduce for bound in bounds_on(padded, place, axis))
    return tuple(bound for bound in bounds if bound.share() < WORTH_LEAVING_OUT)


def merge_supported(stage: Stage, constants: frozenset[str], kept: frozenset[int], machine: Machine) -> Stage:
    """The flat stage with its axes merged, and without those bounds of its support that cost more than they save.

    They keep the phases of a transposed convolution apart from its outputs, of which few fill less of a vector than the outputs of all phases.
    """
    best = merge_axes(stage, constants, kept)
    for bound in stage.support:
        less = replace(stage, support=tuple(other for other in stage.support if other != bound))
        wider = merge_axes(less, constants, kept)
        if _vectors(wider, machine) < _vectors(best, machine):
            stage, best = less, wider
    return best


def _vectors(stage: Stage, machine: Machine) -> float:
    """Vector operations, with lanes along the axis that is contiguous in the output."""
    lanes = machine.lanes // (2 if machine.halves else 1)
    lane = next((axis.extent for axis in stage.axes if stage.stores[0].map[0].coefficient(axis.id) == 1), 1)
    return stage.terms / lane * ceil(lane / lanes)
