"""Evaluation of a definition on arrays, by the numpy interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fusekit.compiler import interpret_expr
from fusekit.compiler.expr import Expr, Load

Array = np.ndarray[Any, Any]


def evaluate(definition: Callable[..., Expr], *inputs: Array, **attributes: Any) -> Array:
    """The elements of `definition` over the elements of `inputs`, which have one shape."""
    operands = [Load(array.dtype.name, str(i), ()) for i, array in enumerate(inputs)]

    def axis(number: int) -> Array:
        raise AssertionError(f"no axis {number}")

    expr = definition(*operands, **attributes)
    return interpret_expr.evaluate(expr, lambda load, _: inputs[int(load.buffer)], axis)
