"""Convolutions and pools with every attribute, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

from fusekit.compiler.graph import Graph

Agrees = Callable[..., Graph]
Build = Callable[..., Any]

CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((1, 3, 7, 6), (4, 3, 3, 3), {}),
    "batch of two": ((2, 3, 5, 5), (4, 3, 1, 1), {}),
    "kernel_shape given": ((1, 3, 7, 6), (4, 3, 3, 2), {"kernel_shape": [3, 2]}),
    "strides": ((1, 3, 9, 8), (4, 3, 3, 3), {"strides": [2, 3]}),
    "dilations": ((1, 3, 9, 8), (4, 3, 3, 3), {"dilations": [2, 3]}),
    "asymmetric pads": ((1, 3, 8, 8), (4, 3, 3, 3), {"pads": [0, 1, 2, 3], "strides": [2, 2]}),
    "grouped": ((1, 6, 5, 5), (4, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "depthwise": ((1, 6, 5, 5), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}),
    "depthwise with multiplier": ((1, 3, 5, 5), (6, 1, 3, 3), {"group": 3}),
    "same upper": ((1, 3, 8, 7), (4, 3, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ((1, 3, 8, 7), (4, 3, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "same upper with even kernel": ((1, 3, 8, 7), (4, 3, 2, 4), {"auto_pad": "SAME_UPPER"}),
    "same lower with even kernel": ((1, 3, 8, 7), (4, 3, 2, 4), {"auto_pad": "SAME_LOWER"}),
    "same upper, stride over kernel": (
        (1, 3, 9, 9),
        (4, 3, 1, 1),
        {"auto_pad": "SAME_UPPER", "strides": [3, 3]},
    ),
    "valid": ((1, 3, 8, 7), (4, 3, 3, 3), {"auto_pad": "VALID"}),
    "one dimension": ((1, 3, 20), (4, 3, 5), {"pads": [1, 2], "strides": [3]}),
    "three dimensions": ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"pads": [1, 0, 1, 0, 1, 0]}),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv_with_constant_weights(agrees: Agrees, build: Build, case: str, bias: bool) -> None:
    shape, weights, attrs = CONVOLUTIONS[case]
    random = np.random.default_rng(3)
    constants = {"w": random.normal(size=weights).astype(np.float32)}
    if bias:
        constants["b"] = random.normal(size=weights[0]).astype(np.float32)
    node = helper.make_node("Conv", ["x", *constants], ["y"], **attrs)
    graph = agrees(build([node], {"x": shape}, ["y"], constants))
    assert [n.op for n in graph.nodes] == ["Conv"]


def test_conv_with_computed_weights(agrees: Agrees, build: Build) -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    agrees(build([node], {"x": (1, 3, 5, 5), "w": (4, 3, 3, 3), "b": (4,)}, ["y"]))


def test_conv_with_its_bias_omitted_by_an_empty_name(agrees: Agrees, build: Build) -> None:
    node = helper.make_node("Conv", ["x", "w", ""], ["y"])
    agrees(build([node], {"x": (1, 3, 5, 5), "w": (4, 3, 3, 3)}, ["y"]))


POOLS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "plain": ((1, 2, 7, 6), {"kernel_shape": [3, 2]}),
    "strides": ((1, 2, 8, 8), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "pads": ((2, 2, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    "ceil mode": ((1, 2, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "ceil mode with pads": (
        (1, 2, 6, 6),
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [1, 1, 1, 1]},
    ),
    "ceil mode with a window that would start in the padding": (
        (1, 2, 5, 2),
        {"kernel_shape": [2, 1], "strides": [4, 2], "ceil_mode": 1, "pads": [1, 0, 1, 0]},
    ),
    "ceil mode that fits": ((1, 2, 9, 9), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "same upper": ((1, 2, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((1, 2, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "valid": ((1, 2, 8, 7), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "VALID"}),
    "one dimension": ((1, 2, 11), {"kernel_shape": [3], "strides": [2], "pads": [1, 0]}),
    "three dimensions": ((1, 2, 4, 5, 6), {"kernel_shape": [2, 2, 2], "strides": [2, 1, 2]}),
}


@pytest.mark.parametrize("case", POOLS)
def test_max_pool(agrees: Agrees, build: Build, case: str) -> None:
    shape, attrs = POOLS[case]
    graph = agrees(build([helper.make_node("MaxPool", ["x"], ["y"], **attrs)], {"x": shape}, ["y"]))
    assert [n.op for n in graph.nodes] == ["MaxPool"]


def test_max_pool_of_negatives_never_sees_its_padding(agrees: Agrees, build: Build) -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    agrees(build([node], {"x": (1, 1, 4, 4)}, ["y"]), {"x": np.full((1, 1, 4, 4), -3, np.float32)})


def test_max_pool_with_dilations(agrees: Agrees, build: Build) -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], dilations=[2, 3], pads=[1, 0, 1, 0])
    agrees(build([node], {"x": (1, 2, 9, 8)}, ["y"]))


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("opset", [11, 19])
@pytest.mark.parametrize("case", POOLS)
def test_average_pool(agrees: Agrees, build: Build, case: str, opset: int, include: int) -> None:
    shape, attrs = POOLS[case]
    node = helper.make_node("AveragePool", ["x"], ["y"], count_include_pad=include, **attrs)
    agrees(build([node], {"x": shape}, ["y"], opset=opset))


@pytest.mark.parametrize(("op", "reduction"), [("AveragePool", "ReduceMean"), ("MaxPool", "ReduceMax")])
def test_a_pool_whose_window_is_the_whole_input_is_a_reduction(
    agrees: Agrees, build: Build, op: str, reduction: str
) -> None:
    node = helper.make_node(op, ["x"], ["y"], kernel_shape=[5, 7], strides=[5, 7])
    assert [n.op for n in agrees(build([node], {"x": (2, 3, 5, 7)}, ["y"])).nodes] == [reduction]


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 7)])
def test_global_pool(agrees: Agrees, build: Build, op: str, shape: tuple[int, ...]) -> None:
    agrees(build([helper.make_node(op, ["x"], ["y"])], {"x": shape}, ["y"]))


TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((1, 3, 5, 4), (3, 4, 3, 2), {}),
    "batch of two": ((2, 3, 5, 4), (3, 4, 2, 2), {"strides": [2, 2]}),
    "stride over kernel": ((1, 3, 4, 5), (3, 2, 2, 1), {"strides": [3, 2]}),
    "kernel over stride": ((1, 3, 4, 5), (3, 2, 4, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "asymmetric pads": ((1, 3, 5, 5), (3, 2, 4, 4), {"strides": [2, 3], "pads": [0, 1, 2, 1]}),
    "dilations": ((1, 3, 5, 4), (3, 2, 3, 2), {"dilations": [2, 3], "strides": [1, 2]}),
    "grouped": ((1, 4, 5, 4), (4, 3, 3, 3), {"group": 2, "strides": [2, 2]}),
    "depthwise": ((1, 4, 5, 4), (4, 1, 4, 4), {"group": 4, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "output padding": (
        (1, 3, 5, 4),
        (3, 2, 3, 3),
        {"strides": [2, 2], "output_padding": [1, 0], "pads": [1, 1, 1, 1]},
    ),
    "output shape": ((1, 3, 5, 4), (3, 2, 3, 3), {"strides": [2, 3], "output_shape": [10, 11]}),
    "output shape, same upper": (
        (1, 3, 5, 4),
        (3, 2, 3, 3),
        {"strides": [2, 2], "output_shape": [10, 8], "auto_pad": "SAME_UPPER"},
    ),
    "same upper": ((1, 3, 5, 4), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "same lower": ((1, 3, 5, 4), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "same upper of an even kernel": ((1, 3, 5, 4), (3, 2, 4, 2), {"auto_pad": "SAME_UPPER"}),
    "valid": ((1, 3, 5, 4), (3, 2, 3, 3), {"strides": [2, 2], "auto_pad": "VALID"}),
    "one dimension": ((1, 3, 7), (3, 2, 4), {"strides": [2], "pads": [1, 1]}),
    "three dimensions": ((1, 2, 3, 4, 2), (2, 3, 2, 2, 2), {"strides": [2, 1, 2]}),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("case", TRANSPOSED)
def test_conv_transpose(agrees: Agrees, build: Build, case: str, bias: bool) -> None:
    shape, weights, attrs = TRANSPOSED[case]
    random = np.random.default_rng(3)
    constants = {"w": random.normal(size=weights).astype(np.float32)}
    if bias:
        constants["b"] = random.normal(size=weights[1] * attrs.get("group", 1)).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["x", *constants], ["y"], **attrs)
    graph = agrees(build([node], {"x": shape}, ["y"], constants))
    assert [n.op for n in graph.nodes if n.op != "Slice"] == ["ConvTranspose"]


def test_conv_transpose_with_computed_weights(agrees: Agrees, build: Build) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], strides=[2, 2])
    agrees(build([node], {"x": (1, 3, 5, 5), "w": (3, 4, 3, 3), "b": (4,)}, ["y"]))


def test_conv_transpose_never_has_strides_and_dilations(agrees: Agrees, build: Build) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 1], dilations=[1, 2])
    graph = agrees(build([node], {"x": (1, 3, 5, 5)}, ["y"], {"w": np.ones((3, 4, 2, 3), np.float32)}))
    assert graph.nodes[0].ints("dilations") == (1, 1)
    assert graph.types[graph.nodes[0].inputs[1]].shape == (3, 4, 2, 5)
