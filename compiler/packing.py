"""Packing: constants in the order in which a kernel reads them, once, at compile time.

A contraction reads ``[batch][block of lanes][k][lane]``, a dot ``[batch][output][k]``, a depthwise convolution ``[tap][channel]``. Blocks are not padded: the last is narrower.
"""

from __future__ import annotations

from math import prod

import numpy as np

from .anchors.region import axis_of, batch_axes
from .expr import Load
from .index import Axis, Index
from .kernel import Place
from .stage import Stage
from .target import Machine


def pack(stage: Stage, place: Place, machine: Machine, constant: np.ndarray) -> np.ndarray:
    """`constant` (flat) as operand 1 of `stage` is read under `place`: a flat array."""
    operand = stage.operands[1].inlined()
    assert isinstance(operand, Load)
    (address,) = operand.map
    lane = axis_of(stage, place.lane)
    order = [axis_of(stage, number) for number in place.k_order]
    if stage.anchor == "depthwise":
        return _read(constant, address, [*order, lane]).ravel()
    batch = batch_axes(stage, place)
    if stage.anchor == "dot":
        return _read(constant, address, [*batch, lane, *order]).ravel()
    full = _read(constant, address, [*batch, *order, lane])
    full = full.reshape(prod(a.extent for a in batch), prod(a.extent for a in order), lane.extent)
    width = place.block.width(machine)
    blocks = [full[:, :, at : at + width].reshape(len(full), -1) for at in range(0, lane.extent, width)]
    return np.concatenate(blocks, axis=1).ravel()


def _read(constant: np.ndarray, address: Index, axes: list[Axis]) -> np.ndarray:
    """The constant's elements over a grid of `axes`."""
    grids = {
        axis.id: np.arange(axis.extent).reshape([-1 if i == number else 1 for i in range(len(axes))])
        for number, axis in enumerate(axes)
    }
    where = np.broadcast_to(np.asarray(address.evaluate(grids.__getitem__)), [axis.extent for axis in axes])
    return np.asarray(constant[where])
