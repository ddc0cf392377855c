"""Resize and Upsample with every grid, rounding and way to say how large, against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from fusekit.compiler.graph import Graph
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.errors import UserError

Agrees = Callable[..., Graph]
Build = Callable[..., Any]

EMPTY = np.zeros(0, np.float32)


def resize_by(scales: list[float], opset: int = 17, **attrs: Any) -> tuple[onnx.NodeProto, dict[str, Any]]:
    return (
        helper.make_node("Resize", ["x", "roi", "scales"], ["y"], name="n", **attrs),
        {"roi": EMPTY, "scales": np.array(scales, np.float32)},
    )


def resize_to(sizes: list[int], **attrs: Any) -> tuple[onnx.NodeProto, dict[str, Any]]:
    return (
        helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], name="n", **attrs),
        {"sizes": np.array(sizes, np.int64)},
    )


GRIDS = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
ROUNDINGS = ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]


@pytest.mark.parametrize("scale", [2.0, 3.0, 1.5, 0.5, 0.3])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nearest_by_scales(agrees: Agrees, build: Build, grid: str, rounding: str, scale: float) -> None:
    node, constants = resize_by(
        [1, 1, scale, 2 * scale],
        mode="nearest",
        coordinate_transformation_mode=grid,
        nearest_mode=rounding,
    )
    agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants), rtol=0)


@pytest.mark.parametrize("scale", [2.0, 3.0, 1.5, 0.5, 0.3])
@pytest.mark.parametrize("grid", GRIDS)
def test_linear_by_scales(agrees: Agrees, build: Build, grid: str, scale: float) -> None:
    node, constants = resize_by([1, 1, scale, 2 * scale], mode="linear", coordinate_transformation_mode=grid)
    graph = agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants))
    assert [n.op for n in graph.nodes] == ["Resize"]


@pytest.mark.parametrize("sizes", [[1, 2, 14, 12], [1, 2, 5, 11], [1, 2, 1, 1], [1, 2, 7, 13]])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("grid", GRIDS)
def test_to_sizes(agrees: Agrees, build: Build, grid: str, mode: str, sizes: list[int]) -> None:
    node, constants = resize_to(sizes, mode=mode, coordinate_transformation_mode=grid)
    agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants))


def test_nearest_of_every_small_size_is_onnx_runtimes_to_the_element(agrees: Agrees, build: Build) -> None:
    """Its coordinates are float32, and not what exact ones are."""
    seen: set[str] = set()
    for before, after in [(3, 9), (27, 9), (49, 7), (13, 20), (41, 49), (6, 7), (55, 25)]:
        node, constants = resize_to(
            [after], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        seen.update(n.op for n in agrees(build([node], {"x": (before,)}, ["y"], constants), rtol=0).nodes)
    assert seen == {"Resize", "Slice", "Concat"}


@pytest.mark.parametrize("opset", [18, 19])
def test_axes_say_which_dimensions_the_sizes_are_of(agrees: Agrees, build: Build, opset: int) -> None:
    node, constants = resize_to([5, 9], mode="linear", axes=[3, -2])
    graph = agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants, opset))
    assert graph.types["y"].shape == (1, 2, 9, 5)


def test_axes_say_which_dimensions_the_scales_are_of(agrees: Agrees, build: Build) -> None:
    node, constants = resize_by([2.0], mode="linear", axes=[2])
    agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants, 18))


GROWING = [(op, opset, scales) for op, opset in (("Upsample", 7), ("Upsample", 9), ("Resize", 10)) for scales in ([1, 1, 2, 3], [1, 1, 1.5, 2.4])]  # fmt: skip


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(("op", "opset", "scales"), [*GROWING, ("Resize", 10, [1, 1, 0.5, 0.7])])
def test_before_there_were_coordinate_modes(
    agrees: Agrees, build: Build, op: str, opset: int, scales: list[float], mode: str
) -> None:
    constants = {} if opset == 7 else {"scales": np.array(scales, np.float32)}
    attrs: dict[str, Any] = {"scales": [float(s) for s in scales]} if opset == 7 else {}
    node = helper.make_node(op, ["x", *constants], ["y"], mode=mode, **attrs)
    agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants, opset))


def test_a_resize_to_the_same_grid_disappears(agrees: Agrees, build: Build) -> None:
    node, constants = resize_to([1, 2, 7, 6], mode="linear")
    relu = helper.make_node("Relu", ["y"], ["z"])
    graph = agrees(build([node, relu], {"x": (1, 2, 7, 6)}, ["z"], constants))
    assert [n.op for n in graph.nodes] == ["Relu"]


def test_the_symmetric_half_pixel_of_whole_scales_is_the_half_pixel(agrees: Agrees, build: Build) -> None:
    node, constants = resize_by(
        [1, 1, 2, 2], mode="linear", coordinate_transformation_mode="half_pixel_symmetric"
    )
    graph = agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants, 19))
    assert graph.nodes[0].attr("coordinates") == "half_pixel"


def test_tensorflows_half_pixel_for_nearest_neighbours(agrees: Agrees, build: Build) -> None:
    node, constants = resize_by(
        [1, 1, 2, 0.5],
        mode="nearest",
        coordinate_transformation_mode="tf_half_pixel_for_nn",
        nearest_mode="floor",
    )
    agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants, 11), rtol=0)


@pytest.mark.parametrize("scale", [2.0, 1.5, 0.6])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("outside", [0, 1])
def test_cubic(agrees: Agrees, build: Build, grid: str, outside: int, scale: float) -> None:
    node, constants = resize_by(
        [1, 1, scale, 2 * scale],
        mode="cubic",
        coordinate_transformation_mode=grid,
        exclude_outside=outside,
        cubic_coeff_a=-0.6,
    )
    agrees(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants), rtol=5e-6)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("sizes", [[1, 2, 3, 4], [1, 2, 5, 17], [1, 2, 14, 12]])
@pytest.mark.parametrize("outside", [0, 1])
def test_antialias(agrees: Agrees, build: Build, mode: str, sizes: list[int], outside: int) -> None:
    node, constants = resize_to(sizes, mode=mode, antialias=1, exclude_outside=outside)
    agrees(build([node], {"x": (1, 2, 11, 9)}, ["y"], constants, 18), rtol=5e-6)


REFUSED: dict[str, tuple[tuple[onnx.NodeProto, dict[str, Any]], int]] = {
    "keeping the aspect ratio is not supported": (
        resize_to([1, 2, 5, 5], keep_aspect_ratio_policy="not_larger"),
        18,
    ),
    "the coordinate transformation half_pixel_symmetric is not supported": (
        resize_by([1, 1, 1.5, 1.4], coordinate_transformation_mode="half_pixel_symmetric"),
        19,
    ),
    "the coordinate transformation tf_crop_and_resize is not supported": (
        resize_by([1, 1, 2, 2], coordinate_transformation_mode="tf_crop_and_resize"),
        17,
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_message_for_a_resize_that_is_not_supported(tmp_path: Path, build: Build, text: str) -> None:
    (node, constants), opset = REFUSED[text]
    onnx.save(build([node], {"x": (1, 2, 7, 6)}, ["y"], constants, opset), str(tmp_path / "m.onnx"))
    with pytest.raises(UserError) as caught:
        import_onnx(tmp_path / "m.onnx", {})
    assert str(caught.value).endswith(f"parts of the model: Resize, node n: {text}")


def test_message_for_an_old_resize_that_grows_and_shrinks(tmp_path: Path, build: Build) -> None:
    node = helper.make_node("Resize", ["x", "scales"], ["y"], name="n")
    scales = {"scales": np.array([1, 1, 2, 0.5], np.float32)}
    onnx.save(build([node], {"x": (1, 2, 7, 6)}, ["y"], scales, 10), str(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match="Resize, node n: it makes some axes longer and some shorter"):
        import_onnx(tmp_path / "m.onnx", {})
