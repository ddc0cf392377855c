"""What each pass does to a small graph, and that the graph computes the same afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from fusekit.compiler.graph import Attribute, Graph, Node, Type, verify
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.passes import PASSES, Pass, canonicalise
from fusekit.compiler.passes.fold_batch_norm import fold_batch_norm
from fusekit.compiler.passes.fold_constants import fold_constants
from fusekit.compiler.passes.name_composites import COMPOSITES, name_composites
from fusekit.compiler.passes.remove_dead_nodes import remove_dead_nodes
from fusekit.compiler.passes.remove_identity_movement import remove_identity_movement

Shape = tuple[int, ...]


class Sketch:
    """A graph under construction with one input x."""

    def __init__(self, shape: Shape) -> None:
        self.types = {"x": Type("float32", shape)}
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self._random = np.random.default_rng(5)

    def constant(self, name: str, data: np.ndarray | float) -> str:
        self.constants[name] = np.asarray(data, np.float32)
        self.types[name] = Type("float32", self.constants[name].shape)
        return name

    def random(self, name: str, shape: Shape) -> str:
        return self.constant(name, self._random.normal(size=shape))

    def add(
        self, output: str, op: str, inputs: list[str], shape: Shape | None = None, /, **attrs: Attribute
    ) -> str:
        if shape is None:
            shape = np.broadcast_shapes(*(self.types[value].shape for value in inputs))
        self.types[output] = Type("float32", shape)
        self.nodes.append(Node(op, tuple(inputs), output, tuple(sorted(attrs.items())), f"node_{output}"))
        return output

    def conv(self, output: str, x: str, channels: tuple[int, int], bias: bool = True) -> str:
        n, _, h, w = self.types[x].shape
        inputs = [x, self.random(f"{output}_w", (channels[1], channels[0], 1, 1))]
        inputs += [self.random(f"{output}_b", (channels[1],))] if bias else []
        attrs: dict[str, Attribute] = {
            "strides": (1, 1),
            "dilations": (1, 1),
            "pads": (0, 0, 0, 0),
            "group": 1,
        }
        return self.add(output, "Conv", inputs, (n, channels[1], h, w), **attrs)

    def graph(self, *outputs: str) -> Graph:
        return verify(Graph("sketch", ("x",), outputs, tuple(self.nodes), self.types, self.constants))


def same(run: Pass, graph: Graph) -> Graph:
    """`graph` after the pass, which must not change what it computes."""
    after = verify(run(graph))
    assert after.inputs == graph.inputs
    assert after.outputs == graph.outputs
    x = np.random.default_rng(6).uniform(-4, 4, graph.types["x"].shape).astype(np.float32)
    want, got = run_graph(graph, {"x": x}), run_graph(after, {"x": x})
    for name in graph.outputs:
        assert after.types[name] == graph.types[name]
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-5)
    return after


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def test_remove_dead_nodes_keeps_what_the_outputs_need() -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", "Relu", ["x"])
    sketch.add("dead", "Add", ["a", sketch.constant("c", 1.0)])
    sketch.add("deader", "Relu", ["dead"])
    after = same(remove_dead_nodes, sketch.graph("a"))
    assert ops(after) == ["Relu"]
    assert set(after.types) == {"x", "a"}
    assert after.constants == {}


def test_remove_dead_nodes_keeps_an_input_that_nothing_reads() -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", "Relu", [sketch.constant("c", 1.0)])
    assert same(remove_dead_nodes, sketch.graph("a")).inputs == ("x",)


def test_fold_constants_evaluates_chains() -> None:
    sketch = Sketch((2, 3))
    sketch.add("t", "Transpose", [sketch.random("c", (3, 2))], (2, 3), perm=(1, 0))
    sketch.add("u", "Relu", ["t"])
    sketch.add("y", "Add", ["x", "u"])
    after = same(fold_constants, sketch.graph("y"))
    assert ops(after) == ["Add"]
    assert set(after.constants) == {"u"}


def test_fold_constants_leaves_an_output_to_a_node() -> None:
    sketch = Sketch((2, 3))
    sketch.add("y", "Reshape", [sketch.random("c", (3, 2))], (6,))
    assert ops(same(fold_constants, sketch.graph("y"))) == ["Reshape"]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1, 1, 1), (1,), ()])
def test_fold_batch_norm_into_a_convolution(bias: bool, shape: Shape) -> None:
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4), bias)
    sketch.add("b", "Mul", [sketch.random("m", shape), "a"])
    sketch.add("y", "Add", ["b", sketch.random("s", shape)])
    after = same(fold_batch_norm, sketch.graph("y"))
    assert ops(after) == ["Conv"]
    assert after.nodes[0].name == "node_a"
    assert len(after.constants) == 2


@pytest.mark.parametrize("shape", [(5,), (2, 1), (4, 2, 1), (1, 1, 4, 1, 1)])
def test_fold_batch_norm_leaves_constants_that_are_not_per_channel(shape: Shape) -> None:
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4))
    sketch.add("y", "Mul", ["a", sketch.random("m", shape)])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["Conv", "Mul"]


def test_fold_batch_norm_leaves_a_convolution_that_is_read_twice() -> None:
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4))
    sketch.add("b", "Mul", ["a", sketch.random("m", (4, 1, 1))])
    sketch.add("y", "Add", ["a", "b"])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["Conv", "Mul", "Add"]


def test_fold_batch_norm_leaves_a_convolution_that_is_an_output() -> None:
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4))
    sketch.add("b", "Mul", ["a", sketch.random("m", (4, 1, 1))])
    assert ops(same(fold_batch_norm, sketch.graph("a", "b"))) == ["Conv", "Mul"]


def test_fold_batch_norm_leaves_a_broadcast_of_the_result() -> None:
    sketch = Sketch((1, 3, 1, 1))
    sketch.conv("a", "x", (3, 1))
    sketch.add("y", "Add", ["a", sketch.random("s", (1, 4, 1, 1))])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["Conv", "Add"]


def test_fold_batch_norm_leaves_a_constant_that_is_longer_than_the_channels() -> None:
    sketch = Sketch((1, 3))
    sketch.add("a", "MatMul", ["x", sketch.random("w", (3, 4))], (1, 4))
    sketch.add("y", "Mul", ["a", sketch.random("m", (7,))], (1, 4))
    assert ops(fold_batch_norm(sketch.graph("y"))) == ["MatMul", "Mul"]


@pytest.mark.parametrize("group", [1, 2])
def test_fold_batch_norm_into_a_transposed_convolution(group: int) -> None:
    sketch = Sketch((1, 4, 2, 3))
    attrs: dict[str, Attribute] = {"strides": (2, 2), "dilations": (1, 1), "pads": (0,) * 4, "group": group}
    sketch.add("a", "ConvTranspose", ["x", sketch.random("w", (4, 3, 2, 2))], (1, 3 * group, 4, 6), **attrs)
    sketch.add("b", "Mul", ["a", sketch.random("m", (3 * group, 1, 1))])
    sketch.add("y", "Add", ["b", sketch.random("s", (3 * group, 1, 1))])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["ConvTranspose"]


def test_fold_batch_norm_into_a_matrix_product_and_the_bias_behind_it() -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", "MatMul", ["x", sketch.random("w", (3, 4))], (2, 4))
    sketch.add("b", "Add", [sketch.random("bias", (4,)), "a"])
    sketch.add("c", "Mul", ["b", sketch.random("m", (4,))])
    sketch.add("y", "Add", ["c", sketch.random("s", (1, 4))])
    after = same(fold_batch_norm, sketch.graph("y"))
    assert ops(after) == ["MatMul", "Add"]
    assert len(after.constants) == 2


def test_fold_batch_norm_into_a_matrix_product_without_a_bias() -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", "MatMul", ["x", sketch.random("w", (3, 4))], (2, 4))
    sketch.add("b", "Mul", ["a", sketch.constant("m", 0.5)])
    sketch.add("y", "Add", ["b", sketch.random("s", (4,))])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["MatMul", "Add"]


def test_fold_batch_norm_of_subtractions_and_divisions() -> None:
    """A normalization that is spelled out: ``(x - mean) / deviation * scale + bias``."""
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4))
    sketch.add("b", "Sub", ["a", sketch.random("mean", (4, 1, 1))])
    sketch.add("c", "Div", ["b", sketch.constant("deviation", np.full((4, 1, 1), 0.5))])
    sketch.add("d", "Mul", ["c", sketch.random("scale", (4, 1, 1))])
    sketch.add("y", "Add", ["d", sketch.random("bias", (4, 1, 1))])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["Conv"]


@pytest.mark.parametrize(("op", "number"), [("Div", 0.0), ("Mul", np.inf), ("Mul", 3e38), ("Add", np.nan)])
def test_fold_batch_norm_leaves_what_makes_weights_infinite(op: str, number: float) -> None:
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4))
    sketch.add("y", op, ["a", sketch.constant("m", np.full((4, 1, 1), number))])
    assert ops(fold_batch_norm(sketch.graph("y"))) == ["Conv", op]


def test_fold_batch_norm_leaves_a_constant_from_which_a_convolution_is_subtracted() -> None:
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4))
    sketch.add("y", "Sub", [sketch.random("s", (4, 1, 1)), "a"])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["Conv", "Sub"]


def test_fold_batch_norm_leaves_a_matrix_product_of_computed_matrices() -> None:
    sketch = Sketch((3, 3))
    sketch.add("a", "MatMul", ["x", "x"], (3, 3))
    sketch.add("y", "Mul", ["a", sketch.random("m", (3,))])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["MatMul", "Mul"]


def test_fold_batch_norm_leaves_numbers_per_row_of_a_matrix_product() -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", "MatMul", ["x", sketch.random("w", (3, 4))], (2, 4))
    sketch.add("b", "Add", ["a", sketch.random("bias", (2, 1))])
    sketch.add("y", "Mul", ["b", sketch.random("m", (4,))])
    assert ops(same(fold_batch_norm, sketch.graph("y"))) == ["MatMul", "Add", "Mul"]


def test_identity_movement_goes_and_the_output_keeps_its_name() -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", "Relu", ["x"])
    sketch.add("b", "Reshape", ["a"], (2, 3))
    sketch.add("y", "Reshape", ["b"], (2, 3))
    sketch.add("z", "Neg", ["b"])
    after = same(remove_identity_movement, sketch.graph("y", "z"))
    assert [str(node) for node in after.nodes] == ["y = Relu(x)", "z = Neg(y)"]


def test_identity_movement_stays_where_two_names_need_it() -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", "Relu", ["x"])
    sketch.add("copy", "Reshape", ["a"], (2, 3))
    sketch.add("input_copy", "Reshape", ["x"], (2, 3))
    after = same(remove_identity_movement, sketch.graph("a", "copy", "input_copy"))
    assert ops(after) == ["Relu", "Reshape", "Reshape"]


@pytest.mark.parametrize(
    ("op", "attrs"),
    [
        ("Reshape", {}),
        ("Expand", {}),
        ("Transpose", {"perm": (0, 1)}),
        ("Pad", {"pads": (0, 0, 0, 0), "value": 1.0}),
        ("Slice", {"starts": (0, 0), "steps": (1, 1)}),
        ("Concat", {"axis": 0}),
    ],
)
def test_every_movement_to_the_same_place_goes(op: str, attrs: dict[str, Attribute]) -> None:
    sketch = Sketch((2, 3))
    sketch.add("a", op, ["x"], (2, 3), **attrs)
    sketch.add("y", "Relu", ["a"])
    assert ops(same(remove_identity_movement, sketch.graph("y"))) == ["Relu"]


def test_a_reversing_slice_stays() -> None:
    sketch = Sketch((2, 3))
    sketch.add("y", "Slice", ["x"], (2, 3), starts=(1, 0), steps=(-1, 1))
    sketch.add("z", "Relu", ["y"])
    assert ops(same(remove_identity_movement, sketch.graph("z"))) == ["Slice", "Relu"]


def test_reshapes_and_transposes_in_a_row_become_one() -> None:
    sketch = Sketch((2, 3, 4))
    sketch.add("a", "Transpose", ["x"], (3, 4, 2), perm=(1, 2, 0))
    sketch.add("b", "Transpose", ["a"], (2, 3, 4), perm=(2, 0, 1))
    sketch.add("c", "Relu", ["b"])
    sketch.add("d", "Reshape", ["c"], (6, 4))
    sketch.add("e", "Reshape", ["d"], (4, 6))
    sketch.add("f", "Transpose", ["e"], (6, 4), perm=(1, 0))
    after = same(remove_identity_movement, sketch.graph("f"))
    assert str(after.nodes[0]) == "c = Relu(x)"
    assert ops(after) == ["Relu", "Reshape", "Transpose"]


def test_a_transpose_of_single_elements_is_a_reshape() -> None:
    sketch = Sketch((1, 3, 4, 1))
    sketch.add("a", "Transpose", ["x"], (3, 1, 1, 4), perm=(1, 0, 3, 2))
    sketch.add("y", "Relu", ["a"])
    assert ops(same(remove_identity_movement, sketch.graph("y"))) == ["Reshape", "Relu"]


def spelled(name: str) -> Graph:
    """A composite as an exporter writes it."""
    s = Sketch((2, 6))
    three, six, half, one = (
        s.constant(n, v) for n, v in (("three", 3.0), ("six", 6.0), ("half", 0.5), ("one", 1.0))
    )

    def relu6() -> str:
        return s.add("r", "Clip", [s.add("a", "Add", ["x", three])], low=0.0, high=6.0)

    match name:
        case "swish":
            s.add("y", "Mul", [s.add("s", "Sigmoid", ["x"]), "x"])
        case "hard swish, divided last":
            s.add("y", "Div", [s.add("m", "Mul", ["x", relu6()]), six])
        case "hard swish, divided first":
            s.add("y", "Mul", [s.add("d", "Div", [relu6(), six]), "x"])
        case "hard swish, multiplied":
            sixth = s.constant("sixth", 1 / 6)
            s.add("y", "Mul", [s.add("m", "Mul", [sixth, "x"]), relu6()])
        case "hard swish by hard sigmoid":
            s.add(
                "y", "Mul", ["x", s.add("h", "HardSigmoid", ["x"], alpha=float(np.float32(1 / 6)), beta=0.5)]
            )
        case "hard sigmoid":
            s.add("y", "Div", [relu6(), six])
        case "gelu, halved last":
            e = s.add("e", "Erf", [s.add("d", "Div", ["x", s.constant("root", 2**0.5)])])
            s.add("y", "Mul", [s.add("m", "Mul", ["x", s.add("a", "Add", [e, one])]), half])
        case "gelu, halved first":
            e = s.add("e", "Erf", [s.add("d", "Mul", ["x", s.constant("root", 0.5**0.5)])])
            s.add("y", "Mul", [s.add("h", "Mul", [half, "x"]), s.add("a", "Add", [one, e])])
        case "gelu by tanh":
            cube = s.add("p", "Pow", ["x", three])
            inner = s.add("i", "Add", ["x", s.add("q", "Mul", [cube, s.constant("k", 0.044715)])])
            t = s.add("t", "Tanh", [s.add("u", "Mul", [s.constant("c", (2 / np.pi) ** 0.5), inner])])
            s.add("y", "Mul", [s.add("h", "Mul", ["x", half]), s.add("a", "Add", [t, one])])
        case "mish":
            s.add("y", "Mul", ["x", s.add("t", "Tanh", [s.add("p", "Softplus", ["x"])])])
    return s.graph("y")


SPELLINGS = {
    "swish": "Swish",
    "hard swish, divided last": "HardSwish",
    "hard swish, divided first": "HardSwish",
    "hard swish, multiplied": "HardSwish",
    "hard swish by hard sigmoid": "HardSwish",
    "hard sigmoid": "HardSigmoid",
    "gelu, halved last": "Gelu",
    "gelu, halved first": "Gelu",
    "gelu by tanh": "Gelu",
    "mish": "Mish",
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_composites_are_named(name: str) -> None:
    after = same(name_composites, spelled(name))
    assert ops(after) == [SPELLINGS[name]]
    assert after.nodes[0].inputs == ("x",)


def test_every_composite_has_a_spelling_here() -> None:
    assert {op for _, op, _ in COMPOSITES} == set(SPELLINGS.values())


def test_parts_of_a_composite_that_are_read_elsewhere_stay() -> None:
    sketch = Sketch((2, 6))
    sketch.add("s", "Sigmoid", ["x"])
    sketch.add("y", "Mul", ["x", "s"])
    assert ops(same(name_composites, sketch.graph("y", "s"))) == ["Sigmoid", "Swish"]


@pytest.mark.parametrize(
    "bounds", [{"low": 0.0, "high": 5.0}, {"low": 0.0}, {"high": 6.0}, {"low": -1.0, "high": 6.0}]
)
def test_what_is_nearly_a_composite_is_not_named(bounds: dict[str, float]) -> None:
    s = Sketch((2, 6))
    s.add("a", "Add", ["x", s.constant("three", 3.0)])
    s.add("r", "Clip", ["a"], **bounds)
    s.add("y", "Div", [s.add("m", "Mul", ["x", "r"]), s.constant("six", 6.0)])
    assert ops(same(name_composites, s.graph("y"))) == ["Add", "Clip", "Mul", "Div"]


def test_a_product_with_another_values_sigmoid_is_not_named() -> None:
    s = Sketch((2, 6))
    s.add("y", "Mul", [s.add("n", "Neg", ["x"]), s.add("s", "Sigmoid", ["x"])])
    assert ops(same(name_composites, s.graph("y"))) == ["Neg", "Sigmoid", "Mul"]


def test_canonicalise_is_idempotent_and_its_passes_have_names() -> None:
    sketch = Sketch((1, 3, 2, 5))
    sketch.conv("a", "x", (3, 4))
    sketch.add("b", "Mul", ["a", sketch.random("m", (4, 1, 1))])
    sketch.add("c", "Reshape", ["b"], (1, 4, 2, 5))
    sketch.add("y", "Mul", ["c", sketch.add("s", "Sigmoid", ["c"])])
    after = same(canonicalise, sketch.graph("y"))
    assert ops(after) == ["Conv", "Swish"]
    assert str(canonicalise(after)) == str(after)
    assert all(step.__doc__ for step in PASSES)
