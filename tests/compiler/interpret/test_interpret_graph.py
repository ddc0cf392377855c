"""The graph interpreter covers the canonical op set and frees what it no longer needs."""

from __future__ import annotations

import numpy as np
import pytest

from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.graph import ANCHORS, MOVEMENT, Graph, Node, Type
from fusekit.compiler.interpret_graph import NUMPY, run_graph, run_node


def test_every_canonical_op_has_a_meaning() -> None:
    assert set(NUMPY) == ANCHORS | MOVEMENT | {"Gather", "Resize"}
    assert not set(NUMPY) & set(TABLE)


def test_a_value_that_is_read_twice_and_is_an_output_stays() -> None:
    types = {name: Type("float32", (2,)) for name in "xaby"}
    nodes = (Node("Relu", ("x",), "a"), Node("Add", ("a", "a"), "b"), Node("Add", ("b", "a"), "y"))
    got = run_graph(Graph("g", ("x",), ("a", "y"), nodes, types, {}), {"x": np.array([-1, 2], np.float32)})
    np.testing.assert_array_equal(got["a"], [0, 2])
    np.testing.assert_array_equal(got["y"], [0, 6])


def test_a_feed_of_the_wrong_type_or_shape_is_caught() -> None:
    graph = Graph("g", ("x",), ("x",), (), {"x": Type("float32", (2,))}, {})
    for wrong in (np.zeros(2), np.zeros(3, np.float32)):
        with pytest.raises(AssertionError, match=r"x must be float32\[2\]"):
            run_graph(graph, {"x": wrong})


def test_a_scalar_constant_reaches_the_definition_as_a_constant() -> None:
    """Pow by a constant 2 is a product, exact where a general power is an approximation."""
    x = np.linspace(-3, 3, 101, dtype=np.float32)
    node = Node("Pow", ("x", "two"), "y")
    got = run_node(node, Type("float32", x.shape), [x, np.array(2, np.float32)], [False, True])
    np.testing.assert_array_equal(got, x * x)


def test_a_transposed_convolution_beyond_its_last_window_is_its_bias() -> None:
    attrs = (("dilations", (1,)), ("group", 1), ("pads", (0, 0)), ("strides", (2,)))
    node = Node("ConvTranspose", ("x", "w", "b"), "y", attrs)
    x, w, b = (np.array(v, np.float32) for v in ([[[1, 2]]], [[[1, 10]]], [0.5]))
    got = run_node(node, Type("float32", (1, 1, 6)), [x, w, b])
    np.testing.assert_array_equal(got, [[[1.5, 10.5, 2.5, 20.5, 0.5, 0.5]]])


@pytest.mark.parametrize(
    ("mode", "rounding", "want"),
    [
        ("linear", "floor", [0, 0.75, 2.25, 3]),
        ("nearest", "floor", [0, 0, 0, 3]),
        ("nearest", "ceil", [0, 3, 3, 3]),
        ("nearest", "round_prefer_floor", [0, 0, 3, 3]),
    ],
)
def test_a_resize_reads_the_edge_where_it_would_read_beyond(
    mode: str, rounding: str, want: list[float]
) -> None:
    attrs = (("coordinates", "half_pixel"), ("mode", mode), ("rounding", rounding), ("scales", (1.0, 2.0)))
    x = np.array([[0, 3], [np.inf, np.inf]], np.float32)
    got = run_node(Node("Resize", ("x",), "y", attrs), Type("float32", (2, 4)), [x])
    np.testing.assert_array_equal(got[0], want)


def test_a_node_whose_type_is_wrong_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"float32\[3\] came out as \(2,\)"):
        run_node(
            Node("Transpose", ("x",), "y", (("perm", (0,)),)),
            Type("float32", (3,)),
            [np.zeros(2, np.float32)],
        )
