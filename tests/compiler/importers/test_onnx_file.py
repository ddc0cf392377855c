"""Every message about a file that is no model, is damaged, or has inputs whose shapes are not settled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.passes import canonicalise
from fusekit.errors import UserError

Build = Callable[..., Any]
Message = Callable[..., str]


def test_message_when_there_is_no_file(message: Message) -> None:
    assert message() == "m.onnx is not a file; give the path of an ONNX model"


def test_message_when_the_file_is_no_model(tmp_path: Path, message: Message) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x89PNG not a model")
    assert message() == ("m.onnx is not an ONNX model; give a file that onnx.save or an exporter wrote")


def test_message_when_the_file_is_empty(tmp_path: Path, message: Message) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    assert message() == ("m.onnx holds no ONNX graph; give a file that onnx.save or an exporter wrote")


@pytest.mark.parametrize("opset", [6, 27])
def test_message_when_the_opset_is_not_known(message: Message, build: Build, opset: int) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, ["y"], opset=opset)
    assert message(model) == (
        f"m.onnx uses ONNX opset {opset} and fusekit reads opsets 7 to 26; export it again with opset 17,"
        " or convert it with onnx.version_converter.convert_version(model, 17)"
    )


def test_message_when_the_model_breaks_the_rules(message: Message, build: Build) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, ["y"])
    model.graph.name = ""
    assert message(model) == (
        "m.onnx is not a valid ONNX model: Field 'name' of 'graph' is required to be non-empty.; export it again"
    )


def test_message_when_there_are_no_outputs(message: Message, build: Build) -> None:
    assert message(build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, [])) == (
        "m.onnx has no outputs, so that there is nothing to compile; export it again with its outputs"
    )


def test_message_when_external_weights_are_missing(tmp_path: Path, message: Message, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2000,)}, ["y"], {"c": np.ones(2000, np.float32)}
    )
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin")
    (tmp_path / "m.bin").unlink()
    assert message() == (
        f"m.onnx keeps the weight c in the file m.bin, which is not beside it; copy m.bin to {tmp_path}"
    )


def test_message_when_external_weights_are_cut_off(tmp_path: Path, message: Message, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2000,)}, ["y"], {"c": np.ones(2000, np.float32)}
    )
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin")
    (tmp_path / "m.bin").write_bytes(b"short")
    text = message()
    assert text.startswith("the external weights of m.onnx cannot be read: ")
    assert text.endswith("; save the model again")


def test_message_when_a_weight_is_sparse(message: Message, build: Build) -> None:
    model = build([helper.make_node("Add", ["x", "c"], ["y"])], {"x": (4,)}, ["y"])
    values = numpy_helper.from_array(np.ones(1, np.float32), "c")
    indices = numpy_helper.from_array(np.array([2]), "c_indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    assert message(model) == ("m.onnx stores the weight c as a sparse tensor; save it as a dense initializer")


def test_message_when_a_dynamic_dimension_is_not_given(message: Message, build: Build) -> None:
    model = build([helper.make_node("Relu", ["image"], ["y"])], {"image": ("batch", 3, "h", None)}, ["y"])
    assert message(model) == (
        "dimension 0 (batch) of the input image of m.onnx is dynamic; give the shape to compile for, such as"
        " --shape image=1,3,224,224"
    )


def test_message_when_an_input_has_no_shape(tmp_path: Path, message: Message, build: Build) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, ["y"])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert message(model) == ("the input x of m.onnx has no shape; give it, such as --shape x=1,3,224,224")
    assert import_onnx(tmp_path / "m.onnx", {"x": (4, 5)}).types["y"].shape == (4, 5)
    assert message(None, {"x": (0, 5)}) == (
        "the shape 0,5 was given for the input x of m.onnx; give dimensions of at least 1"
    )


@pytest.mark.parametrize("given", [(5, 4), (5, 3, 1), (0, 3)])
def test_message_when_a_given_shape_contradicts_the_model(
    message: Message, build: Build, given: tuple[int, ...]
) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": ("batch", 3)}, ["y"])
    assert message(model, {"x": given}) == (
        f"the input x of m.onnx has the shape ?,3 (? is free) and {','.join(map(str, given))} was given;"
        " give a shape that agrees"
    )


def test_message_when_a_shape_is_given_for_no_input(message: Message, build: Build) -> None:
    model = build([helper.make_node("Relu", ["image"], ["y"])], {"image": (2, 3)}, ["y"])
    assert message(model, {"imgae": (2, 3)}) == (
        "m.onnx has no input imgae to give a shape; did you mean image?"
    )
    assert message(None, {"q": (2, 3)}) == ("m.onnx has no input q to give a shape; its inputs are image")


def test_message_when_an_input_is_a_sequence(message: Message, build: Build) -> None:
    model = build([helper.make_node("SequenceLength", ["s"], ["n"])], {}, ["n"])
    model.graph.input.append(helper.make_tensor_sequence_value_info("s", onnx.TensorProto.FLOAT, [2]))
    assert message(model) == ("the input s of m.onnx is not a tensor; give a model whose inputs are tensors")


def test_message_when_a_weight_does_not_fill_its_shape(message: Message, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (4,)}, ["y"], {"c": np.ones(4, np.float32)}
    )
    model.graph.initializer[0].dims[0] = 3
    assert message(model) == (
        "the weight c of m.onnx is damaged: cannot reshape array of size 4 into shape (3,); export the model again"
    )


def test_message_when_a_weight_has_an_unknown_element_type(message: Message, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (4,)}, ["y"], {"c": np.ones(4, np.float32)}
    )
    model.graph.initializer[0].data_type = 96
    assert message(model).startswith("the weight c of m.onnx has the unknown element type 96;")


def damaged(random: np.random.Generator) -> bytes:
    """A small model with one thing wrong: bytes, an operator, an attribute, an input or a weight."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("MaxPool", ["a"], ["b"], name="pool", kernel_shape=[2, 2], ceil_mode=1),
        helper.make_node("Pad", ["b", "pads"], ["c"], name="pad"),
        helper.make_node("Reshape", ["c", "shape"], ["d"], name="reshape"),
        helper.make_node("Gemm", ["d", "m"], ["e"], name="gemm", transB=1),
        helper.make_node("Softmax", ["e"], ["y"], name="softmax", axis=1),
    ]
    weights = {
        "w": np.ones((2, 3, 3, 3), np.float32),
        "pads": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
        "shape": np.array([1, -1]),
        "m": np.ones((5, 36), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, 5))],
        [numpy_helper.from_array(data, name) for name, data in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    node = model.graph.node[random.integers(len(nodes))]
    match int(random.integers(8)):
        case 0:
            return bytes(model.SerializeToString()[: int(random.integers(1000))])
        case 1:
            data = bytearray(model.SerializeToString())
            data[int(random.integers(len(data)))] = int(random.integers(256))
            return bytes(data)
        case 2:
            node.op_type = nodes[random.integers(len(nodes))].op_type
        case 3:
            node.input[0] = list("xabcdey")[random.integers(7)]
        case 4:
            del node.input[-1]
        case 5:
            model.graph.node.remove(node)
        case 6 if node.attribute and node.attribute[0].ints:
            node.attribute[0].ints[0] = int(random.choice([-1, 0, 9, 2**40]))
        case _:
            weight = model.graph.initializer[random.integers(4)]
            weight.dims[0] = int(random.choice([0, 1, 3, 2**31]))
    return bytes(model.SerializeToString())


def test_damaged_models_are_the_users_error_and_nothing_else(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    refused = 0
    for _ in range(400):
        (tmp_path / "m.onnx").write_bytes(damaged(random))
        try:
            canonicalise(import_onnx(tmp_path / "m.onnx", {}))
        except UserError:
            refused += 1
    assert 200 < refused < 400


def test_message_when_an_element_type_is_unknown(message: Message, build: Build) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, ["y"])
    model.graph.input[0].type.tensor_type.elem_type = 96
    assert message(model) == ("the input x of m.onnx has the unknown element type 96; export the model again")
