"""A line of text as an image, and the text that PP-OCR's recogniser finds in one."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont

HEIGHT, WIDTH = 48, 320


def rendered(text: str) -> np.ndarray:
    """`text` in black on white in DejaVu Sans, scaled from 0..255 to -1..1: float32 (1, 3, 48, 320)."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    ImageDraw.Draw(image).text((10, 8), text, fill="black", font=ImageFont.truetype(str(path), 28))
    pixels = np.asarray(image, np.float32) / 127.5 - 1
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def read_text(probabilities: np.ndarray, model: Path) -> str:
    """The text of (1, steps, classes): the likeliest class of each step, repetitions once, blanks left out (CTC's best path).

    The model's metadata has its characters; class 0 is the blank and the last one the space.
    """
    characters = next(p.value for p in onnx.load(str(model)).metadata_props if p.key == "character")
    classes = ["", *characters.split("\n"), " "]
    path = probabilities[0].argmax(axis=-1)
    kept = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
    return "".join(classes[c] for c in kept)
