"""A checkpoint that torch.save wrote before PyTorch 1.6, read without PyTorch.

The file is a row of pickles: a magic number, a version, facts about the machine, the object, whose tensors refer to storages by key, and the
keys in the order in which the storages follow, each as its number of elements and their bytes.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


@dataclass(frozen=True)
class Stored:
    """A tensor's place in a storage, in elements."""

    key: str
    offset: int
    shape: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Knows nothing but dicts and tensors, and notes the element type of each storage."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.dtypes: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[str, Callable[..., Any] | str] = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": lambda key, offset, shape, *_: Stored(key, offset, shape),
            **{f"torch.{storage}": dtype for storage, dtype in DTYPES.items()},
        }
        return known[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> str:
        _, dtype, key, *_ = pid
        self.dtypes[key] = dtype
        return str(key)


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """The tensors of the state dictionary in `path` by name, in its order."""
    with path.open("rb") as file:
        for _ in range(3):
            pickle.load(file)
        reader = _Unpickler(file)
        tensors = reader.load()
        storages = {}
        for key in pickle.load(file):
            count = int.from_bytes(file.read(8), "little")
            dtype = np.dtype(reader.dtypes[key])
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return {
        name: storages[at.key][at.offset : at.offset + prod(at.shape)].reshape(at.shape)
        for name, at in tensors.items()
    }
