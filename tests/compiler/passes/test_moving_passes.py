"""Passes that move a node past another: the canonical graph has the wanted neighbours and computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from fusekit.compiler.graph import Graph
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.passes import canonicalise

RNG = np.random.default_rng(3)
TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
node = helper.make_node


def weights(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


def canonical(
    folder: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    shape: tuple[int, ...] = (1, 4, 6, 5),
) -> Graph:
    """The canonical graph of a net from x to y, checked against ONNX Runtime."""
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "net.onnx")
    made = canonicalise(import_onnx(folder / "net.onnx", {}))
    x = weights(*shape)
    (want,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    assert np.allclose(run_graph(made, {"x": x})["y"], want, rtol=1e-5, atol=1e-6)
    return made


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_transposes_around_an_activation_cancel(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=TO_LAST),
        node("HardSwish", ["b"], ["c"]),
        node("Transpose", ["c"], ["d"], perm=TO_FIRST),
        node("Conv", ["d", "w"], ["y"]),
    ]
    assert ops(canonical(tmp_path, nodes, {"w": weights(4, 4, 1, 1)})) == ["Conv", "HardSwish", "Conv"]


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (4,), (), (1,), (6, 5, 4), (1, 6, 5, 4)])
def test_constants_of_a_transposed_operator_are_transposed(shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=TO_LAST),
        node("Sub", ["b", "c"], ["d"]),
        node("Transpose", ["d"], ["e"], perm=TO_FIRST),
        node("Exp", ["e"], ["y"]),
    ]
    assert ops(canonical(tmp_path, nodes, {"c": weights(*shape)})) == ["Relu", "Sub", "Exp"]


def test_gate_computed_channels_last_follows(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Transpose", ["r"], ["a"], perm=TO_LAST),
        node("ReduceMean", ["a", "axes"], ["b"], keepdims=1),
        node("Sigmoid", ["b"], ["c"]),
        node("Mul", ["a", "c"], ["d"]),
        node("Transpose", ["d"], ["e"], perm=TO_FIRST),
        node("Conv", ["e", "w"], ["y"]),
    ]
    made = canonical(tmp_path, nodes, {"w": weights(4, 4, 1, 1), "axes": np.array([1, 2], np.int64)})
    assert made.nodes[-2].op == "Mul"
    assert made.types[made.nodes[-2].output].shape == (1, 4, 6, 5)


@pytest.mark.parametrize(
    ("axes", "keepdims", "moved"), [((-1,), 1, (1,)), ((1, 2), 0, (2, 3)), ((1,), 0, (2,))]
)
def test_reduction_is_computed_before_a_transpose(
    axes: tuple[int, ...], keepdims: int, moved: tuple[int, ...], tmp_path: Path
) -> None:
    nodes = [
        node("Transpose", ["x"], ["a"], perm=TO_LAST),
        node("ReduceSum", ["a", "axes"], ["b"], keepdims=keepdims),
        node("Relu", ["b"], ["y"]),
    ]
    made = canonical(tmp_path, nodes, {"axes": np.array(axes, np.int64)})
    assert made.nodes[0].op == "ReduceSum"
    assert made.nodes[0].ints("axes") == moved


def test_axes_left_by_a_reduction_stay_transposed(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[3, 2, 0, 1]),
        node("ReduceMax", ["a", "axes"], ["y"], keepdims=0),
    ]
    made = canonical(tmp_path, nodes, {"axes": np.array([2], np.int64)}, shape=(3, 4, 6, 5))
    assert ops(made) == ["ReduceMax", "Transpose"]


@pytest.mark.parametrize(
    ("shape", "to_last", "to_first"),
    [((2, 4, 7), [0, 2, 1], [0, 2, 1]), ((2, 4, 6, 5), TO_LAST, TO_FIRST)],
)
def test_layer_norm_and_products_channels_last_need_no_transposes(
    shape: tuple[int, ...], to_last: list[int], to_first: list[int], tmp_path: Path
) -> None:
    """The block of ConvNeXt; both products have the same weights."""
    nodes = [
        node("Transpose", ["x"], ["a"], perm=to_last),
        node("LayerNormalization", ["a", "scale", "shift"], ["b"]),
        node("MatMul", ["b", "w"], ["c"]),
        node("Add", ["c", "bias"], ["d"]),
        node("Relu", ["d"], ["e"]),
        node("MatMul", ["e", "w"], ["f"]),
        node("Transpose", ["f"], ["g"], perm=to_first),
        node("Add", ["x", "g"], ["y"]),
    ]
    constants = {name: weights(4) for name in ("scale", "shift", "bias")} | {"w": weights(4, 4)}
    made = canonical(tmp_path, nodes, constants, shape)
    assert not {"Transpose", "MatMul"} & set(ops(made))
    assert ops(made)[-4:] == ["Conv", "Relu", "Conv", "Add"]


def test_model_may_use_the_names_that_passes_make(tmp_path: Path) -> None:
    """Values that are called like moved constants and like results before a transpose."""
    nodes = [
        node("Relu", ["x"], ["c/before_transpose"]),
        node("Transpose", ["c/before_transpose"], ["a"], perm=TO_LAST),
        node("Add", ["a", "k"], ["b"]),
        node("MatMul", ["b", "w"], ["c"]),
        node("Transpose", ["c"], ["d"], perm=TO_FIRST),
        node("Conv", ["d", "w/kernel"], ["e"]),
        node("Mul", ["e", "k/perm_0_3_1_2"], ["y"]),
    ]
    constants = {
        "k": weights(1, 6, 5, 4),
        "k/perm_0_3_1_2": weights(1, 4, 6, 5),
        "w": weights(4, 4),
        "w/kernel": weights(4, 4, 1, 1),
    }
    made = canonical(tmp_path, nodes, constants)
    assert ops(made) == ["Relu", "Add", "Conv", "Conv", "Mul"]


def test_product_of_another_transpose_stays(tmp_path: Path) -> None:
    nodes = [node("Transpose", ["x"], ["a"], perm=[0, 1, 3, 2]), node("MatMul", ["a", "w"], ["y"])]
    made = canonical(tmp_path, nodes, {"w": weights(6, 3)})
    assert ops(made) == ["Transpose", "MatMul"]


def test_transposes_before_a_concat_become_one(tmp_path: Path) -> None:
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Exp", ["x"], ["b"]),
        node("Transpose", ["a"], ["c"], perm=TO_LAST),
        node("Transpose", ["b"], ["d"], perm=TO_LAST),
        node("Concat", ["c", "d"], ["y"], axis=3),
    ]
    made = canonical(tmp_path, nodes, {})
    assert ops(made) == ["Relu", "Exp", "Concat", "Transpose"]
    assert made.nodes[2].attr("axis") == 1


def test_operator_of_different_transposes_stays(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["x"], ["a"], perm=[0, 1, 3, 2]),
        node("Transpose", ["x"], ["b"], perm=[0, 2, 3, 1]),
        node("Relu", ["b"], ["c"]),
        node("Reshape", ["c", "shape"], ["d"]),
        node("Add", ["a", "d"], ["y"]),
    ]
    made = canonical(tmp_path, nodes, {"shape": np.array([1, 4, 5, 6], np.int64)})
    assert ops(made) == ["Transpose", "Relu", "Transpose", "Reshape", "Add"]


def group_norm(groups: int, shape: tuple[int, ...]) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """A group normalization of a, as PyTorch exports it, with scales and shifts of groups and of channels; x is a before an activation."""
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Reshape", ["a", "grouped"], ["b"]),
        node("InstanceNormalization", ["b", "group_scale", "group_shift"], ["c"]),
        node("Reshape", ["c", "whole"], ["d"]),
        node("Mul", ["d", "scale"], ["e"]),
        node("Add", ["e", "shift"], ["y"]),
    ]
    image = (shape[1], *(1,) * (len(shape) - 2))
    constants = {
        "grouped": np.array([0, groups, -1], np.int64),
        "whole": np.array(shape, np.int64),
        "group_scale": weights(groups), "group_shift": weights(groups),
        "scale": weights(*image), "shift": weights(*image),
    }  # fmt: skip
    return nodes, constants


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("shape", [(1, 6, 5, 4), (2, 6, 3, 2, 2), (2, 6, 7)])
def test_group_norm_is_computed_on_the_image(groups: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes, constants = group_norm(groups, shape)
    made = canonical(tmp_path, nodes, constants, shape)
    assert made.types[made.nodes[-1].output].shape == shape
    moved = [made.types[n.output].size for n in made.nodes if n.op in ("Reshape", "Expand")]
    assert all(size <= shape[0] * shape[1] for size in moved)


def test_groups_that_nothing_ungroups_stay(tmp_path: Path) -> None:
    nodes, constants = group_norm(2, (1, 6, 5, 4))
    made = canonical(tmp_path, [*nodes[:2], node("Relu", ["b"], ["y"])], constants, (1, 6, 5, 4))
    assert ops(made)[-2:] == ["Reshape", "Relu"]


@pytest.mark.parametrize("other", [(1, 3, 1), (2, 1, 1), (1, 1, 120)])
def test_groups_beside_more_than_one_number_each_stay(other: tuple[int, ...], tmp_path: Path) -> None:
    """Neither more groups or images than there were, nor a number for every element."""
    nodes, constants = group_norm(1, (1, 6, 5, 4))
    back = np.array([max(other[:2]), 6, 5, 4] if max(other) < 120 else [1, 6, 5, 4], np.int64)
    nodes = [*nodes[:2], node("Mul", ["b", "other"], ["c"]), node("Reshape", ["c", "back"], ["y"])]
    made = canonical(tmp_path, nodes, {**constants, "other": weights(*other), "back": back}, (1, 6, 5, 4))
    assert ops(made) == ["Relu", "Reshape", "Mul", "Reshape"]


def test_image_with_its_groups_read_elsewhere_has_both(tmp_path: Path) -> None:
    nodes, constants = group_norm(3, (1, 6, 5, 4))
    nodes = [
        *nodes[:-1],
        node("Softmax", ["c"], ["f"], axis=1),
        node("Reshape", ["f", "whole"], ["g"]),
        node("Add", ["e", "g"], ["y"]),
    ]
    canonical(tmp_path, nodes, constants, (1, 6, 5, 4))


def resized(scale: float, mode: str) -> list[onnx.NodeProto]:
    return [
        node("Relu", ["x"], ["a"]),
        node("Resize", ["a", "", "scales"], ["b"], mode=mode),
        node("Conv", ["b", "w", "bias"], ["y"]),
    ]


@pytest.mark.parametrize(("scale", "mode"), [(2.0, "linear"), (3.0, "nearest"), (1.5, "linear")])
def test_small_convolution_comes_before_an_enlargement(scale: float, mode: str, tmp_path: Path) -> None:
    scales = np.array([1, 1, scale, scale], np.float32)
    constants = {"w": weights(3, 4, 1, 1), "bias": weights(3), "scales": scales}
    assert ops(canonical(tmp_path, resized(scale, mode), constants)) == ["Relu", "Conv", "Resize"]


@pytest.mark.parametrize(("scale", "kernel"), [(0.5, 1), (2.0, 3)])
def test_other_convolutions_stay_behind_a_resize(scale: float, kernel: int, tmp_path: Path) -> None:
    scales = np.array([1, 1, scale, scale], np.float32)
    constants = {"w": weights(3, 4, kernel, kernel), "bias": weights(3), "scales": scales}
    assert ops(canonical(tmp_path, resized(scale, "linear"), constants)) == ["Relu", "Resize", "Conv"]
