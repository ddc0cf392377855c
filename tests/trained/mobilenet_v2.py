"""The zoo's MobileNetV2 with weights trained on ImageNet, and a photograph as it was trained to see one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

from fusekit.toolkit.zoo.mobilenet_v2 import mobilenet_v2

from .torch_checkpoint import read_checkpoint

EPSILON = 1e-5
MEAN = np.array((0.485, 0.456, 0.406), np.float32)
DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)
"""Of ImageNet's red, green and blue."""


def trained_mobilenet_v2(checkpoint: Path) -> onnx.ModelProto:
    """The zoo's model with the weights of torchvision's `checkpoint`, which has the same layers in the same order."""
    model = mobilenet_v2()
    trained = (data for data in read_checkpoint(checkpoint).values() if data.ndim)
    biased = {weight.name for weight in model.graph.initializer if weight.name.endswith("project.bias")}
    weights = {}
    for weight in model.graph.initializer:
        name = weight.name
        if name in ("zero", "six") or name in biased:
            continue
        if f"{name.removesuffix('weight')}bias" in biased:
            weights[name], weights[f"{name.removesuffix('weight')}bias"] = _with_norm(trained)
        else:
            weights[name] = next(trained)
    assert next(trained, None) is None, "the checkpoint has more layers than the model"
    for weight in model.graph.initializer:
        if weight.name in weights:
            data = weights[weight.name]
            assert tuple(weight.dims) == data.shape, f"{weight.name} is {weight.dims}, trained {data.shape}"
            weight.CopyFrom(numpy_helper.from_array(data, weight.name))
    return model


def _with_norm(trained: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution with the batch normalization behind it, where the zoo's has none."""
    weight, scale, shift, mean, variance = (next(trained) for _ in range(5))
    factor = scale / np.sqrt(variance + EPSILON)
    return weight * factor.reshape(-1, 1, 1, 1), shift - mean * factor


def seen(photo: Path) -> np.ndarray:
    """The middle of `photo`, 224 of 256 pixels wide and high, normalised: float32 (1, 3, 224, 224)."""
    image = Image.open(photo).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    return np.ascontiguousarray(((pixels - MEAN) / DEVIATION).transpose(2, 0, 1)[None])
