"""Einsum against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from fusekit.compiler.graph import Graph
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.errors import UserError

Agrees = Callable[..., Graph]
Build = Callable[..., Any]
SIZES = dict(zip("bhijkl", (2, 3, 4, 5, 6, 2), strict=True))


@pytest.mark.parametrize(
    "equation",
    [
        "ij,jk->ik",
        "ij,kj->ik",
        "ij,jk",
        "ji , jk -> ki",
        "bij,bjk->bik",
        "bhik,bhjk->bhij",
        "bihk,bjhk->bhij",
        "bij,jk->bik",
        "i,j->ij",
        "i,i->",
        "ij,ij->ij",
        "ij,ij->i",
        "ij->ji",
        "ij->i",
        "bij,k->jb",
        "ij,jk,kl->il",
        "ij,jk,jl->ikl",
    ],
)
def test_einsum(agrees: Agrees, build: Build, equation: str) -> None:
    terms = equation.replace(" ", "").split("->")[0].split(",")
    shapes = {f"x{i}": tuple(SIZES[label] for label in term) for i, term in enumerate(terms)}
    agrees(build([helper.make_node("Einsum", [*shapes], ["y"], equation=equation)], shapes, ["y"]))


@pytest.mark.parametrize(
    ("equation", "shapes", "text"),
    [
        ("...ij->...ji", {"x": (2, 3, 4)}, "has an ellipsis, which is not supported; name every axis"),
        ("ii->i", {"x": (3, 3)}, "takes a diagonal, which is not supported"),
        ("ij,jk->ik", {"x": (3, 4), "z": (1, 5)}, "broadcasts j, which is not supported"),
    ],
)
def test_message_for_an_equation_that_is_not_supported(
    tmp_path: Path, build: Build, equation: str, shapes: dict[str, tuple[int, ...]], text: str
) -> None:
    node = helper.make_node("Einsum", [*shapes], ["y"], name="n", equation=equation)
    onnx.save(build([node], shapes, ["y"]), str(tmp_path / "m.onnx"))
    with pytest.raises(UserError) as caught:
        import_onnx(tmp_path / "m.onnx", {})
    assert str(caught.value).endswith(f"Einsum, node n: the equation {equation} {text}")
