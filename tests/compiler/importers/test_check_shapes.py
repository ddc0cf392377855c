"""Every message about shapes that do not fit together, which ONNX Runtime refuses as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from onnx import helper

from fusekit.compiler.graph import Attribute, Node, Type
from fusekit.compiler.importers import onnx as importer
from fusekit.compiler.importers.check_shapes import check_shapes
from fusekit.compiler.importers.onnx_node import Unsupported

from .conftest import reference

Build = Callable[..., Any]
Message = Callable[..., str]
Shape = tuple[int, ...]

CANNOT = "m.onnx cannot be compiled; change or cut these parts of the model: "
IMAGE = (1, 3, 8, 8)
TOO_LARGE = "what it cuts off or slides over its input must not be larger than that"


def floats(*shapes: Shape) -> dict[str, np.ndarray]:
    """A weight of each shape."""
    return {f"c{i}": np.ones(shape, np.float32) for i, shape in enumerate(shapes)}


MODELS: Mapping[str, tuple[str, Shape, dict[str, np.ndarray], dict[str, Any], str]] = {
    "channels": (
        "Conv", (1, 5, 8, 8), floats((4, 3, 3, 3)), {},
        "its input [1,5,8,8] has 5 channels and its weights [4,3,3,3] in 1 group take 3; give weights for 5 channels",
    ),
    "channels of groups": (
        "Conv", IMAGE, floats((4, 3, 3, 3)), {"group": 2},
        "its input [1,3,8,8] has 3 channels and its weights [4,3,3,3] in 2 groups take 6; give weights for 3 channels",
    ),
    "output channels of groups": (
        "Conv", IMAGE, floats((4, 1, 3, 3)), {"group": 3},
        "its weights [4,1,3,3] make 4 channels, which do not divide into 3 groups",
    ),
    "no group": ("Conv", IMAGE, floats((4, 3, 3, 3)), {"group": 0}, "its group of 0 must be at least 1"),
    "kernel_shape": (
        "Conv", IMAGE, floats((4, 3, 1, 1)), {"kernel_shape": [3, 3]},
        "its kernel_shape [3,3] differs from the [1,1] of its weights [4,3,1,1]; leave it out",
    ),
    "bias": (
        "Conv", IMAGE, floats((4, 3, 1, 1), (7,)), {}, "its bias has the shape [7] and its 4 channels need [4]",
    ),
    "bias of one": (
        "Conv", IMAGE, floats((4, 3, 1, 1), (1,)), {}, "its bias has the shape [1] and its 4 channels need [4]",
    ),
    "kernel larger than the input": (
        "Conv", IMAGE, floats((4, 3, 11, 3)), {}, f"y would have the shape [1,4,-2,6]; {TOO_LARGE}",
    ),
    "kernel as large as makes nothing": ("Conv", IMAGE, floats((4, 3, 9, 3)), {}, "y has no elements"),
    "transposed channels": (
        "ConvTranspose", IMAGE, floats((4, 3, 2, 2)), {},
        "its input [1,3,8,8] has 3 channels and its weights [4,3,2,2] in 1 group take 4; give weights for 3 channels",
    ),
    "transposed bias": (
        "ConvTranspose", IMAGE, floats((3, 4, 2, 2), (3,)), {},
        "its bias has the shape [3] and its 4 channels need [4]",
    ),
    "slope": (
        "PRelu", IMAGE, floats((3,)), {}, "its operands [1,3,8,8] and [3] do not broadcast to one shape",
    ),
    "Gemm bias": (
        "Gemm", (1, 3), floats((3, 4), (7,)), {}, "its operands [1,4] and [7] do not broadcast to one shape",
    ),
    "index": (
        "Gather", IMAGE, {"i": np.array([0, 7])}, {"axis": 1}, "its index 7 is not among the 3 elements of axis 1",
    ),
    "negative index": (
        "Gather", IMAGE, {"i": np.array([-4])}, {"axis": 1}, "its index -4 is not among the 3 elements of axis 1",
    ),
    "elements": (
        "Reshape", IMAGE, {"s": np.array([4, 5])}, {},
        "its input [1,3,8,8] has 192 elements and its result [4,5] has 20",
    ),
    "instance scale": (
        "InstanceNormalization", IMAGE, floats((4,), (3,)), {}, "its scale has 4 elements and its input 3 channels",
    ),
    "instance bias": (
        "InstanceNormalization", IMAGE, floats((3,), (1,)), {}, "its bias has 1 elements and its input 3 channels",
    ),
    "pads": (
        "Pad", IMAGE, {"p": np.array([0, 0, -5, 0, 0, 0, -5, 0])}, {}, f"y would have the shape [1,3,-2,8]; {TOO_LARGE}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_message_when_shapes_do_not_fit(message: Message, build: Build, name: str) -> None:
    op, shape, constants, attrs, text = MODELS[name]
    model = build(
        [helper.make_node(op, ["x", *constants], ["y"], name="n", **attrs)], {"x": shape}, ["y"], constants
    )
    assert message(model) == f"{CANNOT}{op}, node n: {text}"
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        reference(model, {"x": np.ones(shape, np.float32)})


def test_message_when_groups_do_not_divide_the_channels(message: Message, build: Build) -> None:
    for groups in (0, 2):
        node = helper.make_node("GroupNormalization", ["x", "c0", "c1"], ["y"], name="n", num_groups=groups)
        model = build([node], {"x": IMAGE}, ["y"], floats((3,), (3,)), opset=21)
        assert message(model) == (
            f"{CANNOT}GroupNormalization, node n: its 3 channels do not divide into {groups} groups"
        )


def test_message_when_an_axis_does_not_exist(message: Message, build: Build) -> None:
    node = helper.make_node("LpNormalization", ["x"], ["y"], name="n", axis=5)
    assert message(build([node], {"x": (2, 3)}, ["y"])) == (
        f"{CANNOT}LpNormalization, node n: its axis 5 is not among the 2 axes of its input"
    )


def test_message_when_a_transposed_convolution_of_computed_weights_has_strides_and_dilations(
    message: Message, build: Build
) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="n", strides=[2, 2], dilations=[2, 2])
    assert message(build([node], {"x": IMAGE, "w": (3, 4, 3, 3)}, ["y"])) == (
        f"{CANNOT}ConvTranspose, node n: its dilations together with strides need constant weights; give it one of them"
    )


def test_nodes_behind_one_of_a_negative_size_are_not_blamed(message: Message, build: Build) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "c0"], ["a"], name="n"),
        helper.make_node("Relu", ["a"], ["y"], name="r"),
    ]
    assert message(build(nodes, {"x": IMAGE}, ["y"], floats((4, 3, 11, 3)))) == (
        f"{CANNOT}Conv, node n: a would have the shape [1,4,-2,6]; {TOO_LARGE}"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("cannot reshape\nthis"), "ValueError: cannot reshape"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (IndexError(), "IndexError"),
    ],
)
def test_message_when_an_importer_fails(
    message: Message, build: Build, monkeypatch: pytest.MonkeyPatch, error: Exception, text: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(importer, "IMPORTERS", {**importer.IMPORTERS, "Softmax": fails})
    model = build([helper.make_node("Softmax", ["x"], ["y"], name="n")], {"x": (2, 3)}, ["y"])
    assert message(model) == f"{CANNOT}Softmax, node n: it cannot be imported: {text}"


WINDOW: Mapping[str, Attribute] = {"strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4}
NODES: Mapping[str, tuple[str, tuple[Shape, ...], Shape, Mapping[str, Attribute], str]] = {
    "strides": (
        "Conv", (IMAGE, (4, 3, 1, 1)), (1, 4, 8, 8), {**WINDOW, "strides": (0, 1), "group": 1},
        "its strides [0,1] must be at least 1",
    ),
    "dilations": (
        "Conv", (IMAGE, (4, 3, 1, 1)), (1, 4, 8, 8), {**WINDOW, "dilations": (1, -1), "group": 1},
        "its dilations [1,-1] must be at least 1",
    ),
    "pads of a window": (
        "MaxPool", (IMAGE,), (1, 3, 6, 8), {**WINDOW, "pads": (-1, 0, -1, 0), "kernel": (1, 1)},
        "its pads [-1,0,-1,0] must be at least 0",
    ),
    "kernel": (
        "MaxPool", (IMAGE,), (1, 3, 8, 8), {**WINDOW, "kernel": (0, 1)}, "its kernel_shape [0,1] must be at least 1",
    ),
    "windows": (
        "MaxPool", (IMAGE,), (1, 3, 8, 8), {**WINDOW, "kernel": (2, 2)},
        "its windows [2,2] for the result [1,3,8,8] leave its padded input [1,3,8,8]",
    ),
    "rank": (
        "Conv", (IMAGE, (4, 3, 1)), (1, 4, 8, 8), {**WINDOW, "group": 1},
        "its input [1,3,8,8] and its weights [4,3,1] must have the same rank, 3 or more",
    ),
    "result": (
        "Conv", (IMAGE, (4, 3, 1, 1)), (1, 5, 8, 8), {**WINDOW, "group": 1},
        "its result [1,5,8,8] should begin with 1,4",
    ),
    "transposed groups": (
        "ConvTranspose", (IMAGE, (3, 4, 1, 1)), (1, 8, 8, 8), {**WINDOW, "group": 2},
        "its weights [3,4,1,1] take 3 channels, which do not divide into 2 groups",
    ),
    "product": ("MatMul", ((2, 3), (4, 5)), (2, 5), {}, "its operands [2,3] and [4,5] cannot be multiplied"),
    "size of a product": (
        "MatMul", ((2, 3), (3, 5)), (2, 6), {}, "the product of its operands [2,3] and [3,5] is not its result [2,6]",
    ),
    "reduction": (
        "ReduceSum", ((2, 3),), (2,), {"axes": (1,), "keepdims": 1},
        "its input [2,3] reduces over the axes [1] to [2,1], not to [2]",
    ),
    "reduction away": (
        "ReduceSum", ((2, 3),), (3,), {"axes": (1,), "keepdims": 0},
        "its input [2,3] reduces over the axes [1] to [2], not to [3]",
    ),
    "perm": (
        "Transpose", ((2, 3),), (3, 2), {"perm": (1, 1)}, "its perm [1,1] does not take its input [2,3] to [3,2]",
    ),
    "expand": ("Expand", ((2, 3),), (1, 3), {}, "its input [2,3] does not broadcast to its result [1,3]"),
    "concat": (
        "Concat", ((2, 3), (1, 3)), (4, 3), {"axis": 0},
        "its operands [2,3] and [1,3] do not make its result [4,3] along axis 0",
    ),
    "lookup": (
        "Gather", ((9, 3), (2,)), (3, 3), {"axis": 0},
        "its operands [9,3] and [2] do not make its result [3,3] along axis 0",
    ),
    "slice": (
        "Slice", ((8,),), (4,), {"starts": (1,), "steps": (3,)}, "its result [4] reaches beyond its input [8]",
    ),
    "pad": ("Pad", ((8,),), (9,), {"pads": (1, 1)}, "its pads [1,1] make [10] of its input [8], not [9]"),
    "slope": (
        "PRelu", ((3, 1, 1), (3, 5, 1)), (3, 1, 1), {},
        "its operands [3,1,1] and [3,5,1] do not broadcast to its result [3,1,1]",
    ),
    "operands": ("Add", ((8,), (4,)), (8,), {}, "its operands [8] and [4] do not broadcast to one shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_message_for_a_canonical_node(name: str) -> None:
    op, inputs, out, attrs, text = NODES[name]
    names = tuple(f"x{i}" for i in range(len(inputs)))
    types = {value: Type("float32", shape) for value, shape in zip(names, inputs, strict=True)}
    types["y"] = Type("float32", out)
    with pytest.raises(Unsupported) as caught:
        check_shapes(Node(op, names, "y", tuple(sorted(attrs.items())), "n"), types)
    assert str(caught.value) == text
