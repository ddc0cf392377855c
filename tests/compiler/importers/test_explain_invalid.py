"""Every message about a model that ONNX's checker refuses and that says more than the checker does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

Build = Callable[..., Any]
Message = Callable[..., str]


def test_message_when_a_weight_is_missing(message: Message, build: Build) -> None:
    node = helper.make_node("Conv", ["x", "weight"], ["y"], name="first")
    assert message(build([node], {"x": (1, 3, 8, 8)}, ["y"])) == (
        "Conv, node first, of m.onnx reads weight as input 1 (W), and no weight, input or node of the model makes weight;"
        " export it again with all of its weights"
    )


def test_message_when_the_name_of_an_input_is_nearly_that_of_a_weight(message: Message, build: Build) -> None:
    node = helper.make_node("Conv", ["x", "wieght"], ["y"])
    constants = {"weight": np.ones((4, 3, 1, 1), np.float32)}
    assert message(build([node], {"x": (1, 3, 8, 8)}, ["y"], constants)) == (
        "Conv, node Conv_0, of m.onnx reads wieght as input 1 (W), and no weight, input or node of the model makes wieght;"
        " did you mean weight?"
    )


@pytest.mark.parametrize(("op", "domain"), [("Sum", ""), ("Strange", "mine")])
def test_message_when_an_input_that_has_no_name_of_its_own_is_missing(
    message: Message, build: Build, op: str, domain: str
) -> None:
    model = build([helper.make_node(op, ["x", "other"], ["y"], domain=domain)], {"x": (2,)}, ["y"])
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    assert message(model).startswith(f"{op}, node {op}_0, of m.onnx reads other as input 1, and no weight,")


def test_message_when_nodes_are_not_in_order(message: Message, build: Build) -> None:
    nodes = [
        helper.make_node("Relu", ["a"], ["y"], name="last"),
        helper.make_node("Neg", ["x"], ["a"], name="first"),
    ]
    assert message(build(nodes, {"x": (2,)}, ["y"])) == (
        "Relu, node last, of m.onnx reads a before it is made by Neg, node first; sort the nodes or export it again"
    )


@pytest.mark.parametrize(
    ("op", "text"),
    [
        ("Convv", "is no operator of ONNX; did you mean Conv?"),
        ("Xyzzy", "is no operator of ONNX; write it with the operators of ONNX"),
        ("Gelu", "came with opset 20 and the model uses opset 17; export it again with opset 20"),
    ],
)
def test_message_when_an_operator_is_unknown(message: Message, build: Build, op: str, text: str) -> None:
    assert message(build([helper.make_node(op, ["x"], ["y"], name="n")], {"x": (2,)}, ["y"])) == (
        f"{op}, node n, of m.onnx {text}"
    )


def test_message_when_an_operator_is_deprecated_is_onnxs_own(message: Message, build: Build) -> None:
    node = helper.make_node("Upsample", ["x", "s"], ["y"])
    constants = {"s": np.ones(2, np.float32)}
    text = message(build([node], {"x": (2, 2)}, ["y"], constants))
    assert text.startswith("m.onnx is not a valid ONNX model: ")
    assert "deprecated" in text
