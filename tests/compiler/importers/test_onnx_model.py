"""Whole models: names, constants, outputs that are not computed, shapes given, weights in files; and every message to the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.expr import Expr
from fusekit.compiler.graph import Graph
from fusekit.compiler.importers.onnx import IMPORTERS, import_onnx
from fusekit.compiler.passes import canonicalise
from fusekit.errors import UserError
from fusekit.toolkit.zoo import ZOO

Agrees = Callable[..., Graph]
Build = Callable[..., Any]
Importing = Callable[..., Graph]


@pytest.mark.parametrize(
    "name",
    ["blazeface_like", "ds_cnn", "face_landmark_like", "mobilenet_v3_large", "shufflenet_v2", "vit_tiny"],
)
def test_zoo_nets_agree_with_onnx_runtime(agrees: Agrees, name: str) -> None:
    agrees(ZOO[name](), rtol=1e-5)


def test_shape_arithmetic_is_evaluated_at_import(agrees: Agrees, build: Build) -> None:
    """Reshape of x to (its first dimension, -1), as exporters write it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value_int=0),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axis"], ["batches"]),
        helper.make_node("Concat", ["batches", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"axis": np.array([0]), "rest": np.array([-1])}
    graph = agrees(build(nodes, {"x": (2, 3, 4)}, ["y"], constants))
    assert [node.op for node in graph.nodes] == ["Reshape"]
    assert graph.constants == {}


def test_outputs_that_are_an_input_or_a_constant_are_made_by_a_node(agrees: Agrees, build: Build) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["copy"]),
        helper.make_node("Identity", ["copy"], ["copy2"]),
        helper.make_node("Add", ["c", "c"], ["six"]),
    ]
    graph = agrees(build(nodes, {"x": (2, 3)}, ["copy", "copy2", "six"], {"c": np.full((2,), 3, np.float32)}))
    assert {node.output for node in graph.nodes} == {"copy", "copy2", "six"}


def test_nodes_keep_their_names_and_unnamed_ones_get_one(importing: Importing, build: Build) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="first"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    graph = importing(build(nodes, {"x": (2,)}, ["y"]))
    assert [node.name for node in graph.nodes] == ["first", "first_1", "Relu_2"]


def test_initializers_listed_as_inputs_are_constants(agrees: Agrees, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2,)}, ["y"], {"c": np.ones(2, np.float32)}
    )
    model.graph.input.append(helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, (2,)))
    assert agrees(model).inputs == ("x",)


def test_local_functions_are_inlined(agrees: Agrees, build: Build) -> None:
    model = build([helper.make_node("Twice", ["x"], ["y"], domain="mine")], {"x": (2,)}, ["y"])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    model.functions.append(
        helper.make_function("mine", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    )
    assert [node.op for node in agrees(model).nodes] == ["Add"]


def test_dynamic_dimensions_take_the_shape_that_is_given(importing: Importing, build: Build) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": ("batch", 3)}, ["y"])
    assert importing(model, {"x": (5, 3)}).types["y"].shape == (5, 3)


def test_external_weights_are_read(tmp_path: Path, build: Build) -> None:
    data = np.arange(2000, dtype=np.float32)
    model = build([helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2000,)}, ["y"], {"c": data})
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin")
    graph = import_onnx(tmp_path / "m.onnx", {})
    np.testing.assert_array_equal(graph.constants["c"], data)


def message(path: Path, shapes: dict[str, tuple[int, ...]] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        import_onnx(path, shapes or {})
    return str(caught.value).replace(f"{path.parent}/", "")


def message_of(
    model: onnx.ModelProto, tmp_path: Path, shapes: dict[str, tuple[int, ...]] | None = None
) -> str:
    onnx.save(model, str(tmp_path / "m.onnx"))
    return message(tmp_path / "m.onnx", shapes)


def test_message_when_there_is_no_file(tmp_path: Path) -> None:
    assert message(tmp_path / "m.onnx") == "m.onnx is not a file; give the path of an ONNX model"


def test_message_when_the_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x89PNG not a model")
    assert message(tmp_path / "m.onnx") == (
        "m.onnx is not an ONNX model; give a file that onnx.save or an exporter wrote"
    )


def test_message_when_the_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    assert message(tmp_path / "m.onnx") == (
        "m.onnx holds no ONNX graph; give a file that onnx.save or an exporter wrote"
    )


@pytest.mark.parametrize("opset", [6, 24])
def test_message_when_the_opset_is_not_known(tmp_path: Path, build: Build, opset: int) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, ["y"], opset=opset)
    assert message_of(model, tmp_path) == (
        f"m.onnx uses ONNX opset {opset} and fusekit reads opsets 7 to 23; export it again with opset 17,"
        " or convert it with onnx.version_converter.convert_version(model, 17)"
    )


def test_message_when_the_model_breaks_the_rules(tmp_path: Path, build: Build) -> None:
    model = build([helper.make_node("Relu", ["nowhere"], ["y"])], {"x": (2,)}, ["y"])
    text = message_of(model, tmp_path)
    assert text.startswith("m.onnx is not a valid ONNX model: Nodes in a graph must be topologically sorted")
    assert text.endswith("; export it again")


def test_message_when_external_weights_are_missing(tmp_path: Path, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2000,)}, ["y"], {"c": np.ones(2000, np.float32)}
    )
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin")
    (tmp_path / "m.bin").unlink()
    assert message(tmp_path / "m.onnx") == (
        f"m.onnx keeps the weight c in the file m.bin, which is not beside it; copy m.bin to {tmp_path}"
    )


def test_message_when_external_weights_are_cut_off(tmp_path: Path, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2000,)}, ["y"], {"c": np.ones(2000, np.float32)}
    )
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin")
    (tmp_path / "m.bin").write_bytes(b"short")
    text = message(tmp_path / "m.onnx")
    assert text.startswith("the external weights of m.onnx cannot be read: ")
    assert text.endswith("; save the model again")


def test_message_when_a_weight_is_sparse(tmp_path: Path, build: Build) -> None:
    model = build([helper.make_node("Add", ["x", "c"], ["y"])], {"x": (4,)}, ["y"])
    values = numpy_helper.from_array(np.ones(1, np.float32), "c")
    indices = numpy_helper.from_array(np.array([2]), "c_indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))
    assert message_of(model, tmp_path) == (
        "m.onnx stores the weight c as a sparse tensor; save it as a dense initializer"
    )


def test_message_when_a_dynamic_dimension_is_not_given(tmp_path: Path, build: Build) -> None:
    model = build([helper.make_node("Relu", ["image"], ["y"])], {"image": ("batch", 3, "h", None)}, ["y"])
    assert message_of(model, tmp_path) == (
        "dimension 0 (batch) of the input image of m.onnx is dynamic; give the shape to compile for, such as"
        " --shape image=1,3,224,224"
    )


def test_message_when_an_input_has_no_shape(tmp_path: Path, build: Build) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, ["y"])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert message_of(model, tmp_path) == (
        "the input x of m.onnx has no shape; give it, such as --shape x=1,3,224,224"
    )
    assert import_onnx(tmp_path / "m.onnx", {"x": (4, 5)}).types["y"].shape == (4, 5)


@pytest.mark.parametrize("given", [(5, 4), (5, 3, 1), (0, 3)])
def test_message_when_a_given_shape_contradicts_the_model(
    tmp_path: Path, build: Build, given: tuple[int, ...]
) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": ("batch", 3)}, ["y"])
    assert message_of(model, tmp_path, {"x": given}) == (
        f"the input x of m.onnx has the shape ?,3 (? is free) and {','.join(map(str, given))} was given;"
        " give a shape that agrees"
    )


def test_message_when_a_shape_is_given_for_no_input(tmp_path: Path, build: Build) -> None:
    model = build([helper.make_node("Relu", ["image"], ["y"])], {"image": (2, 3)}, ["y"])
    assert message_of(model, tmp_path, {"imgae": (2, 3)}) == (
        "m.onnx has no input imgae to give a shape; did you mean image?"
    )
    assert message(tmp_path / "m.onnx", {"q": (2, 3)}) == (
        "m.onnx has no input q to give a shape; its inputs are image"
    )


def test_message_when_an_input_is_a_sequence(tmp_path: Path, build: Build) -> None:
    model = build([helper.make_node("SequenceLength", ["s"], ["n"])], {}, ["n"])
    model.graph.input.append(helper.make_tensor_sequence_value_info("s", onnx.TensorProto.FLOAT, [2]))
    assert message_of(model, tmp_path) == (
        "the input s of m.onnx is not a tensor; give a model whose inputs are tensors"
    )


NOT_AT_RUN_TIME = "values are not supported at run time, only bool, float32, int32, int64, int8, uint8"
CANNOT = "m.onnx cannot be compiled; change or cut these parts of the model: "


def test_message_lists_everything_that_is_not_supported(tmp_path: Path, build: Build) -> None:
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
    assert message_of(model, tmp_path) == CANNOT + (
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
    tmp_path: Path, build: Build, case: tuple[Any, ...], text: str
) -> None:
    op, inputs, outputs, opset, attrs = case
    names = [f"y{i}" for i in range(outputs)]
    model = build([helper.make_node(op, [*inputs], names, name="n", **attrs)], inputs, names, opset=opset)
    assert message_of(model, tmp_path).startswith(f"{CANNOT}{op}, node n: {text}")


def test_message_when_a_shape_is_computed_at_run_time(tmp_path: Path, build: Build) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], name="n")]
    model = build(nodes, {"x": (2, 3)}, ["y"])
    model.graph.input.append(helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, (1,)))
    assert message_of(model, tmp_path) == CANNOT + (
        "Reshape, node n: the shape of y is only known when the model runs"
    )


def test_message_when_a_value_has_no_elements(tmp_path: Path, build: Build) -> None:
    node = helper.make_node("Slice", ["x", "a", "a"], ["y"], name="n")
    model = build([node], {"x": (2, 3)}, ["y"], {"a": np.array([1, 1])})
    assert message_of(model, tmp_path) == CANNOT + "Slice, node n: y has no elements"


def test_message_when_an_output_needs_no_model(tmp_path: Path, build: Build) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["double"], to=11),
    ]
    model = build(nodes, {"x": (2, 3)}, ["x", "shape", "double"])
    assert message_of(model, tmp_path) == CANNOT + (
        f"the output x: it is an input, which needs no model; the output double: float64 {NOT_AT_RUN_TIME}"
    )


def test_message_when_parameters_are_computed(tmp_path: Path, build: Build) -> None:
    inputs = {"x": (1, 3, 2, 2), "s": (3,), "b": (3,), "m": (3,), "v": (3,)}
    model = build([helper.make_node("BatchNormalization", [*inputs], ["y"], name="n")], inputs, ["y"])
    assert message_of(model, tmp_path) == CANNOT + "BatchNormalization, node n: its scale must be constant"


def test_message_when_a_gather_is_irregular(tmp_path: Path, build: Build) -> None:
    indices = np.random.default_rng(0).permutation(200)
    model = build(
        [helper.make_node("Gather", ["x", "i"], ["y"], name="n")], {"x": (200, 3)}, ["y"], {"i": indices}
    )
    text = message_of(model, tmp_path)
    assert text.startswith(f"{CANNOT}Gather, node n: its indices are irregular: they make ")
    assert text.endswith(" slices and at most 64 are supported")


def test_message_when_the_model_is_in_training_mode(tmp_path: Path, build: Build) -> None:
    parameters = {name: np.ones(3, np.float32) for name in "sbmv"}
    nodes = [
        helper.make_node(
            "BatchNormalization", ["x", *parameters], ["a", "m2", "v2"], name="n", training_mode=1
        ),
        helper.make_node("Dropout", ["a", "ratio", "training"], ["y"], name="d"),
    ]
    constants = parameters | {"ratio": np.array(0.5, np.float32), "training": np.array(True)}
    model = build(nodes, {"x": (1, 3, 2, 2)}, ["y"], constants)
    assert message_of(model, tmp_path) == CANNOT + (
        "BatchNormalization, node n: it is in training mode; Dropout, node d: it is in training mode"
    )


def test_message_when_a_scalar_has_several_elements(tmp_path: Path, build: Build) -> None:
    node = helper.make_node("Clip", ["x", "low"], ["y"], name="n")
    model = build([node], {"x": (2, 3)}, ["y"], {"low": np.zeros(3, np.float32)})
    assert message_of(model, tmp_path) == CANNOT + (
        "Clip, node n: its `low` bound must have one element, not the shape (3,)"
    )
    node = helper.make_node("Pad", ["x", "pads", "value"], ["y"], name="n")
    constants = {"pads": np.array([0, 1, 0, 1]), "value": np.zeros(3, np.float32)}
    model = build([node], {"x": (2, 3)}, ["y"], constants)
    assert message_of(model, tmp_path) == CANNOT + (
        "Pad, node n: its pad value must have one element, not the shape (3,)"
    )


def test_message_when_a_weight_does_not_fill_its_shape(tmp_path: Path, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (4,)}, ["y"], {"c": np.ones(4, np.float32)}
    )
    model.graph.initializer[0].dims[0] = 3
    assert message_of(model, tmp_path) == (
        "the weight c of m.onnx is damaged: cannot reshape array of size 4 into shape (3,); export the model again"
    )


def test_message_when_a_weight_has_an_unknown_element_type(tmp_path: Path, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (4,)}, ["y"], {"c": np.ones(4, np.float32)}
    )
    model.graph.initializer[0].data_type = 96
    assert message_of(model, tmp_path).startswith("the weight c of m.onnx has the unknown element type 96;")


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


def test_importers_are_names_of_onnx_operators() -> None:
    assert [op for op in IMPORTERS if not onnx.defs.has(op)] == []


def test_an_op_that_is_added_to_the_table_is_imported(
    importing: Importing, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def celu(x: Expr, alpha: float = 1.0) -> Expr:
        return x * alpha

    model = build([helper.make_node("Celu", ["x"], ["y"], alpha=2.0)], {"x": (2, 3)}, ["y"])
    monkeypatch.setitem(TABLE, "Celu", celu)
    assert str(importing(model).nodes[0]) == "y = Celu(x) {alpha=2.0}"


def test_names_made_by_the_importer_keep_clear_of_the_models(agrees: Agrees, build: Build) -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["y"]),
        helper.make_node("Relu", ["y"], ["y/max"]),
        helper.make_node("Conv", ["y/max", "w"], ["c"]),
        helper.make_node("Mul", ["c", "z/weights"], ["z"]),
    ]
    constants = {"w": np.ones((2, 3, 1, 1), np.float32), "z/weights": np.full((2, 1, 1), 3, np.float32)}
    graph = agrees(build(nodes, {"x": (1, 3, 2, 2)}, ["z", "y/max"], constants))
    assert "y/max2" in graph.types


def test_message_when_an_element_type_is_unknown(tmp_path: Path, build: Build) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": (2,)}, ["y"])
    model.graph.input[0].type.tensor_type.elem_type = 96
    assert message_of(model, tmp_path) == (
        "the input x of m.onnx has the unknown element type 96; export the model again"
    )


@pytest.mark.parametrize(
    "dtype", ["FLOAT16", "BFLOAT16", "DOUBLE", "INT16", "UINT64", "FLOAT8E4M3FN", "INT4", "STRING"]
)
def test_message_for_every_other_element_type(tmp_path: Path, build: Build, dtype: str) -> None:
    number = onnx.TensorProto.DataType.Value(dtype)
    nodes = [helper.make_node("Identity", ["x"], ["y"], name="n")]
    model = build(nodes, {"x": (2,)}, ["y"], dtype=number, opset=21)
    model.graph.output[0].type.tensor_type.elem_type = number
    assert message_of(model, tmp_path).endswith(NOT_AT_RUN_TIME)


@pytest.mark.parametrize("exponents", [[9], [0], [1, 2]])
def test_message_for_a_power_of_integers(tmp_path: Path, build: Build, exponents: list[int]) -> None:
    node = helper.make_node("Pow", ["x", "i"], ["y"], name="n")
    integer = onnx.TensorProto.INT64
    model = build([node], {"x": (2,)}, ["y"], {"i": np.array(exponents)}, dtype=integer, types={"y": integer})
    assert message_of(model, tmp_path) == (
        CANNOT + "Pow, node n: the exponent of an integer must be one constant from 1 to 8"
    )


def test_message_when_an_exponent_is_of_another_type(tmp_path: Path, build: Build) -> None:
    node = helper.make_node("Pow", ["i", "x"], ["y"], name="n")
    integer = onnx.TensorProto.INT64
    model = build([node], {"i": (2,), "x": (2,)}, ["y"], types={"i": integer, "y": integer})
    assert (
        message_of(model, tmp_path)
        == CANNOT + "Pow, node n: the exponent of an integer must be one constant from 1 to 8"
    )


@pytest.mark.parametrize("op", ["MatMul", "ReduceSum", "Resize"])
def test_message_when_an_anchor_has_integers(tmp_path: Path, build: Build, op: str) -> None:
    integer = onnx.TensorProto.INT32
    operands = {"MatMul": ["x", "x"], "ReduceSum": ["x"], "Resize": ["x", "", "scales"]}[op]
    node = helper.make_node(op, operands, ["y"], name="n")
    constants = {"scales": np.array([2, 2], np.float32)} if op == "Resize" else {}
    model = build([node], {"x": (3, 3)}, ["y"], constants, dtype=integer, types={"y": integer})
    assert message_of(model, tmp_path) == f"{CANNOT}{op}, node n: its operands must be float32, not int32"


def test_message_when_there_is_control_flow(tmp_path: Path, build: Build) -> None:
    def branch(output: str) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, (2,))
        return helper.make_graph([helper.make_node("Neg", ["x"], [output])], output, [], [result])

    node = helper.make_node("If", ["c"], ["y"], name="n", then_branch=branch("a"), else_branch=branch("b"))
    model = build([node], {"x": (2,), "c": ()}, ["y"], types={"c": onnx.TensorProto.BOOL})
    assert (
        message_of(model, tmp_path)
        == CANNOT + "If, node n: it runs a subgraph, and control flow is not supported"
    )


def test_message_when_a_constant_cannot_be_evaluated(tmp_path: Path, build: Build) -> None:
    node = helper.make_node("Strange", ["c"], ["y"], name="n", domain="mine")
    model = build([node], {"x": (2,)}, ["y"], {"c": np.ones(2, np.float32)})
    model.opset_import.append(helper.make_opsetid("mine", 1))
    text = message_of(model, tmp_path)
    assert text.startswith(
        f"{CANNOT}Strange, node n: its inputs are constant and ONNX Runtime cannot evaluate it: "
    )


def test_message_when_an_attribute_has_another_kind(tmp_path: Path, build: Build) -> None:
    node = helper.make_node("Scaler", ["x"], ["y"], name="n", domain="mine", names=["a", "b"])
    model = build([node], {"x": (2,)}, ["y"])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    assert message_of(model, tmp_path) == CANNOT + "Scaler, node n: its attribute names is not supported"


def test_message_of_an_elementwise_definition_names_the_node(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(x: Expr, alpha: float = 1.0) -> Expr:
        raise UserError("its alpha is odd")

    monkeypatch.setitem(TABLE, "Celu", refuses)
    model = build([helper.make_node("Celu", ["x"], ["y"], name="n")], {"x": (2, 3)}, ["y"])
    assert message_of(model, tmp_path) == CANNOT + "Celu, node n: its alpha is odd"


def test_message_when_a_definition_lacks_an_attribute(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TABLE, "Celu", lambda x: x)
    model = build([helper.make_node("Celu", ["x"], ["y"], name="n", alpha=2.0)], {"x": (2, 3)}, ["y"])
    assert message_of(model, tmp_path) == CANNOT + "Celu, node n: its attribute alpha is not supported"


def test_message_when_the_table_lacks_an_op_that_is_needed(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(TABLE, "Exp")
    model = build([helper.make_node("Softmax", ["x"], ["y"], name="n")], {"x": (2, 3)}, ["y"])
    assert message_of(model, tmp_path) == CANNOT + (
        "Softmax, node n: it needs the elementwise operator Exp, which fusekit does not have"
    )


def test_importing_twice_gives_the_same_graph(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(ZOO["face_landmark_like"](), str(path))
    first, second = (canonicalise(import_onnx(path, {})) for _ in range(2))
    assert str(first) == str(second)
    assert list(first.constants) == list(second.constants)
