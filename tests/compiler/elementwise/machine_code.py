"""A definition compiled for a target as a loop over arrays, without the fusion and the anchors that kernels have."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from fusekit.compiler import objects
from fusekit.compiler.emit import Coord, kernel_function
from fusekit.compiler.expr import Expr, Load
from fusekit.compiler.index import Axis, Index
from fusekit.compiler.lower_expr import Lowering, Point
from fusekit.compiler.target import Target

from .definition import Array

NAME = "elementwise"
LANES = 16


def module_text(
    definition: Callable[..., Expr], dtypes: Sequence[str], count: int, target: Target, **attributes: Any
) -> str:
    """LLVM of a function that computes `count` elements, a multiple of `LANES`, of operands of the given types."""
    index = Index.of(Axis(0, count))
    expr = definition(*(Load(dtype, str(i), (index,)) for i, dtype in enumerate(dtypes)), **attributes)
    module, emitter, pointers, *_ = kernel_function(target, NAME, len(dtypes) + 1)
    names = [str(i) for i in range(len(dtypes))]
    lowering = Lowering(
        emitter, dict(zip([*names, "out"], pointers, strict=True)), dict.fromkeys([*names, "out"], count)
    )

    def body(position: Coord, _: list[Any]) -> list[Any]:
        point = Point({0: position}, 0, LANES)
        lowering.store(lowering.evaluate(expr, point), expr.dtype, "out", index, point)
        return []

    emitter.loop(0, count, LANES, body)
    emitter.finish()
    return str(module)


def run(
    definition: Callable[..., Expr], target: Target, *inputs: Array, dtype: str, **attributes: Any
) -> Array:
    """What the code for `target`, which must be this machine's, makes of `inputs`; `dtype` is the result's."""
    size = inputs[0].size
    count = max(2, -(-size // LANES)) * LANES
    padded = [np.ascontiguousarray(np.resize(array, count)) for array in inputs]
    out = np.zeros(count, dtype)
    text = module_text(definition, [array.dtype.name for array in inputs], count, target, **attributes)
    # The function may be dropped when nothing calls it; the engine needs it.
    module = objects.optimise(text.replace("linkonce_odr", ""), target)
    machine = llvm.Target.from_triple(target.triple).create_target_machine(cpu=target.cpu, opt=3, jit=True)
    with llvm.create_mcjit_compiler(module, machine) as engine:
        engine.finalize_object()
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
            engine.get_function_address(NAME)
        )
        pointers = (ctypes.c_void_p * (len(padded) + 1))(*(array.ctypes.data for array in (*padded, out)))
        call(ctypes.addressof(pointers), None, 0, 0)
    return out[:size]
