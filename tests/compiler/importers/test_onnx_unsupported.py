"""Every message about what a sound model has and fusekit does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.expr import Expr
from fusekit.errors import UserError

Build = Callable[..., Any]
Message = Callable[..., str]


NOT_AT_RUN_TIME = "values are not supported at run time, only bool, float32, int32, int64, int8, uint8"
CANNOT = "m.onnx cannot be compiled; change or cut these parts of the model: "


def test_message_lists_everything_that_is_not_supported(message: Message, build: Build) -> None:
    nodes = [
        helper.make_node("Hardmax", ["x"], ["a"], name="h1"),
        helper.make_node("Hardmax", ["a"], ["b"], name="h2"),
        helper.make_node("Pad", ["b", "pads"], ["c"], name="p", mode="reflect"),
        helper.make_node("Relu", ["c"], ["d"], name="r"),
        helper.make_node("Strange", ["d"], ["e"], name="s", domain="mine"),
        helper.make_node("Tan", ["e"], ["y"], name="unknown_shape"),
    ]
    model = build(nodes, {"x": (2, 3)}, ["y"], {"pads": np.array([0, 3, 0, 1])})
    model.opset_import.append(helper.make_opsetid("mine", 1))
    assert message(model) == CANNOT + (
        "Hardmax, node h1 and 1 more: no such operator in fusekit; Pad, node p: its pads of 3 and 1 on axis 1 exceed the 3 elements there;"
        " Strange, node s: operators of the domain mine are not supported"
    )


def single(
    op: str, inputs: dict[str, tuple[int, ...]], outputs: int = 1, opset: int = 17, **attrs: Any
) -> tuple[Any, ...]:
    return op, inputs, outputs, opset, attrs


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (
            single("MaxPool", {"x": (1, 2, 4, 4)}, 2, kernel_shape=[2, 2]),
            "only the first of its outputs is supported, not y1",
        ),
        (
            single("LayerNormalization", {"x": (2, 4), "s": (4,)}, 2),
            "only the first of its outputs is supported, not y1",
        ),
        (single("Add", {"x": (4,), "z": (3,)}), "its inputs do not fit together: "),
        (
            single("MaxPool", {"x": (1, 2, 4, 4)}, kernel_shape=[2, 2], auto_pad="same_upper"),
            "its auto_pad is 'same_upper': ONNX knows NOTSET, VALID, SAME_UPPER, SAME_LOWER",
        ),
        (
            single("Cast", {"x": (4,)}, to=11),
            "float64 values are not supported at run time, only bool, float32",
        ),
        (
            single("MaxPool", {"x": (1, 2, 4)}, kernel_shape=[2], pads=[0, 2]),
            "its pads are as large as its window, which would lie in them and see nothing",
        ),
        (single("NonZero", {"x": (4,)}), "no such operator in fusekit"),
    ],
)
def test_message_for_a_node_that_is_not_supported(
    message: Message, build: Build, case: tuple[Any, ...], text: str
) -> None:
    op, inputs, outputs, opset, attrs = case
    names = [f"y{i}" for i in range(outputs)]
    model = build([helper.make_node(op, [*inputs], names, name="n", **attrs)], inputs, names, opset=opset)
    assert message(model).startswith(f"{CANNOT}{op}, node n: {text}")


def test_message_when_a_shape_is_computed_at_run_time(message: Message, build: Build) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], name="n")]
    model = build(nodes, {"x": (2, 3)}, ["y"])
    model.graph.input.append(helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, (1,)))
    assert message(model) == CANNOT + ("Reshape, node n: the shape of y is only known when the model runs")


def test_message_when_a_value_has_no_elements(message: Message, build: Build) -> None:
    node = helper.make_node("Slice", ["x", "a", "a"], ["y"], name="n")
    model = build([node], {"x": (2, 3)}, ["y"], {"a": np.array([1, 1])})
    assert message(model) == CANNOT + "Slice, node n: y has no elements"


def test_message_when_an_output_needs_no_model(message: Message, build: Build) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["double"], to=11),
    ]
    model = build(nodes, {"x": (2, 3)}, ["x", "shape", "double"])
    assert message(model) == CANNOT + (
        f"the output x: it is an input, which needs no model; the output double: float64 {NOT_AT_RUN_TIME}"
    )


def test_message_when_parameters_are_computed(message: Message, build: Build) -> None:
    inputs = {"x": (1, 3, 2, 2), "s": (3,), "b": (3,), "m": (3,), "v": (3,)}
    model = build([helper.make_node("BatchNormalization", [*inputs], ["y"], name="n")], inputs, ["y"])
    assert message(model) == CANNOT + "BatchNormalization, node n: its scale must be constant"


def test_message_when_reversed_sequences_differ(message: Message, build: Build) -> None:
    node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], name="n")
    text = message(build([node], {"x": (4, 2)}, ["y"], {"n": np.array([4, 3])}))
    assert text == CANNOT + (
        "ReverseSequence, node n: its sequences differ in length; give it as many elements of each to reverse"
    )


HUGE = "[1048576,1048576], and of its 1099511627776 elements at most 268435456 are supported, 1 GiB in float32; compile for a smaller shape"


def test_message_when_an_input_is_absurdly_large(message: Message, build: Build) -> None:
    model = build([helper.make_node("ReduceSum", ["x"], ["y"], name="n")], {"x": (1 << 20, 1 << 20)}, ["y"])
    assert message(model).startswith(f"{CANNOT}the input x: x would have the shape {HUGE}")


@pytest.mark.parametrize("op", ["Expand", "Tile"])
def test_message_when_a_value_would_be_absurdly_large(message: Message, build: Build, op: str) -> None:
    nodes = [
        helper.make_node(op, ["x", "s"], ["e"], name="n"),
        helper.make_node("ReduceSum", ["e"], ["y"], name="sum"),
    ]
    text = message(build(nodes, {"x": (1, 1)}, ["y"], {"s": np.array([1 << 20, 1 << 20])}))
    assert text.startswith(f"{CANNOT}{op}, node n: e would have the shape {HUGE}")


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand"])
def test_message_when_a_constant_would_be_absurdly_large(message: Message, build: Build, op: str) -> None:
    operands = ["s"] if op == "ConstantOfShape" else ["one", "s"]
    nodes = [
        helper.make_node(op, operands, ["c"], name="n"),
        helper.make_node("Add", ["x", "c"], ["y"], name="add"),
    ]
    constants = {"s": np.array([1 << 20, 1 << 20]), "one": np.ones((1, 1), np.float32)}
    text = message(build(nodes, {"x": (1, 1)}, ["y"], constants))
    assert text == f"{CANNOT}{op}, node n: c would have the shape {HUGE}"


def test_message_when_the_model_is_in_training_mode(message: Message, build: Build) -> None:
    parameters = {name: np.ones(3, np.float32) for name in "sbmv"}
    nodes = [
        helper.make_node(
            "BatchNormalization", ["x", *parameters], ["a", "m2", "v2"], name="n", training_mode=1
        ),
        helper.make_node("Dropout", ["a", "ratio", "training"], ["y"], name="d"),
    ]
    constants = parameters | {"ratio": np.array(0.5, np.float32), "training": np.array(True)}
    model = build(nodes, {"x": (1, 3, 2, 2)}, ["y"], constants)
    assert message(model) == CANNOT + (
        "BatchNormalization, node n: it is in training mode; Dropout, node d: it is in training mode"
    )


def test_message_when_a_scalar_has_several_elements(message: Message, build: Build) -> None:
    node = helper.make_node("Clip", ["x", "low"], ["y"], name="n")
    model = build([node], {"x": (2, 3)}, ["y"], {"low": np.zeros(3, np.float32)})
    assert message(model) == CANNOT + (
        "Clip, node n: its `low` bound must have one element, not the shape (3,)"
    )
    node = helper.make_node("Pad", ["x", "pads", "value"], ["y"], name="n")
    constants = {"pads": np.array([0, 1, 0, 1]), "value": np.zeros(3, np.float32)}
    model = build([node], {"x": (2, 3)}, ["y"], constants)
    assert message(model) == CANNOT + ("Pad, node n: its pad value must have one element, not the shape (3,)")


@pytest.mark.parametrize(
    "dtype", ["FLOAT16", "BFLOAT16", "DOUBLE", "INT16", "UINT64", "FLOAT8E4M3FN", "INT4", "STRING"]
)
def test_message_for_every_other_element_type(message: Message, build: Build, dtype: str) -> None:
    number = onnx.TensorProto.DataType.Value(dtype)
    nodes = [helper.make_node("Identity", ["x"], ["y"], name="n")]
    model = build(nodes, {"x": (2,)}, ["y"], dtype=number, opset=21)
    model.graph.output[0].type.tensor_type.elem_type = number
    assert message(model).endswith(NOT_AT_RUN_TIME)


@pytest.mark.parametrize("op", ["MatMul", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "Resize"])
def test_message_when_an_anchor_has_integers(message: Message, build: Build, op: str) -> None:
    integer = onnx.TensorProto.INT32
    operands = {"MatMul": ["x", "x"], "Resize": ["x", "", "scales"]}.get(op, ["x"])
    node = helper.make_node(op, operands, ["y"], name="n")
    constants = {"scales": np.array([2, 2], np.float32)} if op == "Resize" else {}
    model = build([node], {"x": (3, 3)}, ["y"], constants, dtype=integer, types={"y": integer})
    assert message(model) == f"{CANNOT}{op}, node n: its operands must be float32, not int32"


def test_message_when_there_is_control_flow(message: Message, build: Build) -> None:
    def branch(output: str) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, (2,))
        return helper.make_graph([helper.make_node("Neg", ["x"], [output])], output, [], [result])

    node = helper.make_node("If", ["c"], ["y"], name="n", then_branch=branch("a"), else_branch=branch("b"))
    model = build([node], {"x": (2,), "c": ()}, ["y"], types={"c": onnx.TensorProto.BOOL})
    assert message(model) == CANNOT + "If, node n: it runs a subgraph, and control flow is not supported"


def test_message_when_a_constant_cannot_be_evaluated(message: Message, build: Build) -> None:
    node = helper.make_node("Strange", ["c"], ["y"], name="n", domain="mine")
    model = build([node], {"x": (2,)}, ["y"], {"c": np.ones(2, np.float32)})
    model.opset_import.append(helper.make_opsetid("mine", 1))
    text = message(model)
    assert text.startswith(
        f"{CANNOT}Strange, node n: its inputs are constant and ONNX Runtime cannot evaluate it: "
    )


def test_message_when_what_evaluates_a_constant_says_nothing(
    message: Message, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("fusekit.compiler.importers.onnx.evaluate", silent)
    node = helper.make_node("Neg", ["c"], ["y"], name="n")
    reason = "its inputs are constant and ONNX Runtime cannot evaluate it: MemoryError"
    model = build([node], {"x": (2,)}, ["y"], {"c": np.ones(2, np.float32)})
    assert message(model) == f"{CANNOT}Neg, node n: {reason}"


def test_message_when_an_attribute_has_another_kind(message: Message, build: Build) -> None:
    node = helper.make_node("Scaler", ["x"], ["y"], name="n", domain="mine", names=["a", "b"])
    model = build([node], {"x": (2,)}, ["y"])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    assert message(model) == CANNOT + "Scaler, node n: its attribute names is not supported"


def test_message_of_an_elementwise_definition_names_the_node(
    message: Message, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(x: Expr, alpha: float = 1.0) -> Expr:
        raise UserError("its alpha is odd")

    monkeypatch.setitem(TABLE, "Celu", refuses)
    model = build([helper.make_node("Celu", ["x"], ["y"], name="n")], {"x": (2, 3)}, ["y"])
    assert message(model) == CANNOT + "Celu, node n: its alpha is odd"


def test_message_when_a_definition_lacks_an_attribute(
    message: Message, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLE, "Celu", lambda x: x)
    model = build([helper.make_node("Celu", ["x"], ["y"], name="n", alpha=2.0)], {"x": (2, 3)}, ["y"])
    assert message(model) == CANNOT + "Celu, node n: its attribute alpha is not supported"


def test_message_when_the_table_lacks_an_op_that_is_needed(
    message: Message, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(TABLE, "Exp")
    model = build([helper.make_node("Softmax", ["x"], ["y"], name="n")], {"x": (2, 3)}, ["y"])
    assert message(model) == CANNOT + (
        "Softmax, node n: it needs the elementwise operator Exp, which fusekit does not have"
    )
