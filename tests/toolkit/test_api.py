"""`fusekit.compile`: what it says of arguments of other types, and where a zoo net is at fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

import fusekit
from fusekit import UserError
from fusekit.compiler.fusion import LEVELS
from fusekit.toolkit.cli.option import FusionOption
from fusekit.toolkit.zoo_model import model_path

from .fake_bundle import write_model


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"bands": "off"}, "bands is 'off': give True or False"),
        ({"bands": 1}, "bands is 1: give True or False"),
        ({"threads": "2"}, "threads is '2': give an int from 1 to 8"),
        ({"threads": 1.5}, "threads is 1.5: give an int from 1 to 8"),
        ({"threads": True}, "threads is True: give an int from 1 to 8"),
        ({"threads": 9}, "9 threads: fusekit compiles for 1 to 8"),
        ({"target": None}, "target is None: give a name, such as 'host' or 'rpi5'"),
        ({"fusion": None}, "unknown fusion level None: levels are none, basic, full"),
        (
            {"shapes": [("x", (1, 16))]},
            "shapes is [('x', (1, 16))]: give a dict of input names to shapes, like {'x': (1, 3, 224, 224)}",
        ),
        (
            {"shapes": {1: (1,)}},
            "shapes is {1: (1,)}: give a dict of input names to shapes, like {'x': (1, 3, 224, 224)}",
        ),
        (
            {"shapes": {"x": "abc"}},
            "shapes gives 'x' as 'abc': give a tuple of positive ints, like (1, 3, 224, 224)",
        ),
        (
            {"shapes": {"x": 16}},
            "shapes gives 'x' as 16: give a tuple of positive ints, like (1, 3, 224, 224)",
        ),
        (
            {"shapes": {"x": (1, 0)}},
            "shapes gives 'x' as (1, 0): give a tuple of positive ints, like (1, 3, 224, 224)",
        ),
        (
            {"shapes": {"x": (1, 16.0)}},
            "shapes gives 'x' as (1, 16.0): give a tuple of positive ints, like (1, 3, 224, 224)",
        ),
    ],
)
def test_compile_refuses_other_types(tmp_path: Path, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as caught:
        fusekit.compile(write_model(tmp_path / "m.onnx"), **arguments)
    assert str(caught.value) == text


def test_compile_takes_a_shape_as_a_list(tmp_path: Path) -> None:
    bundle = fusekit.compile(write_model(tmp_path / "m.onnx"), shapes={"x": [1, 16]})
    assert bundle.manifest.inputs[0].shape == (1, 16)
    assert bundle.manifest.compiler == fusekit.__version__
    assert bundle.manifest.files.keys() == {"model.o", "weights.bin", "model.so"}


def test_errors_of_a_zoo_net_name_it() -> None:
    with pytest.raises(UserError, match="^zoo:ds_cnn is bad$"), model_path("zoo:ds_cnn") as file:
        raise UserError(f"{file} is bad")
    with pytest.raises(UserError, match="^all is bad$"), model_path("zoo:ds_cnn"):
        raise UserError("all is bad")


def test_help_names_the_levels_there_are() -> None:
    assert "|".join(LEVELS) in str(get_args(FusionOption)[1].metavar)
