"""Look-ups by index, constant and computed, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from fusekit.compiler.graph import Graph

Agrees = Callable[..., Graph]
Build = Callable[..., Any]
Message = Callable[..., str]

ND = {
    "whole tuples": ((3, 4), (5, 2), 0),
    "rows": ((3, 4, 2), (2, 3, 1), 0),
    "rows of each batch": ((3, 5, 2), (3, 4, 1), 1),
    "elements of each of two batches": ((2, 3, 4, 5), (2, 3, 6, 2), 2),
}
"""Shapes of data and indices, and `batch_dims`."""


def within(shape: tuple[int, ...], limits: tuple[int, ...]) -> np.ndarray:
    """Indices of either sign whose last axis is limited by `limits`."""
    limit = np.array(limits)
    return np.asarray(np.random.default_rng(3).integers(-limit, limit, shape), np.int64)


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("name", ND)
def test_gather_nd(agrees: Agrees, build: Build, name: str, computed: bool) -> None:
    shape, listed, batch = ND[name]
    indices = within(listed, shape[batch : batch + listed[-1]])
    node = helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=batch)
    check_by(agrees, build, node, shape, indices, computed)


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize(("axis", "listed"), [(0, (5, 4)), (-1, (3, 6)), (1, (2, 3))])
def test_gather_elements(
    agrees: Agrees, build: Build, axis: int, listed: tuple[int, int], computed: bool
) -> None:
    indices = within(listed, ((3, 4)[axis],))
    node = helper.make_node("GatherElements", ["x", "i"], ["y"], axis=axis)
    check_by(agrees, build, node, (3, 4), indices, computed)


def check_by(
    agrees: Agrees, build: Build, node: Any, shape: tuple[int, ...], indices: np.ndarray, computed: bool
) -> None:
    """The look-up with `indices` as an input of the model, or as a constant."""
    x = np.random.default_rng(4).uniform(-1, 1, shape).astype(np.float32)
    if not computed:
        agrees(build([node], {"x": shape}, ["y"], {"i": indices}), {"x": x})
        return
    model = build([node], {"x": shape, "i": indices.shape}, ["y"], types={"i": TensorProto.INT64})
    agrees(model, {"x": x, "i": indices})


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_hot_by_indices_of_either_sign_and_out_of_range(agrees: Agrees, build: Build, axis: int) -> None:
    node = helper.make_node("OneHot", ["i", "depth", "values"], ["y"], axis=axis)
    constants = {"depth": np.array(4), "values": np.array([-1, 2], np.float32)}
    model = build([node], {"i": (2, 3)}, ["y"], constants, dtype=TensorProto.INT64)
    agrees(model, {"i": np.array([[0, 3, 4], [-1, -4, -5]])})


@pytest.mark.parametrize(("slices", "op"), [(64, "Concat"), (65, "Gather")])
def test_constant_indices_are_slices_where_these_are_few(
    agrees: Agrees, build: Build, slices: int, op: str
) -> None:
    indices = np.array([i for first in range(slices) for i in (first, first, first)])
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=1)
    graph = agrees(build([node], {"x": (2, 70)}, ["y"], {"i": indices}))
    assert graph.nodes[-1].op == op


@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND"])
def test_message_when_a_constant_index_is_out_of_range(message: Message, build: Build, op: str) -> None:
    node = helper.make_node(op, ["x", "i"], ["y"], name="n")
    model = build([node], {"x": (4, 2)}, ["y"], {"i": np.array([[4, 0]])})
    assert message(model).endswith(f"{op}, node n: its index 4 is not among the 4 elements of axis 0")
