"""A plan's kernels as machine code, run in a child process over memory with guards around every part of it."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Mapping
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from fusekit.compiler.graph import Graph
from fusekit.compiler.kernel import Kernel
from fusekit.compiler.kernel_cache import kernel_text
from fusekit.compiler.objects import assemble
from fusekit.compiler.plan import Plan
from fusekit.compiler.target import Target

Array = np.ndarray[Any, Any]

GUARD = 256
"""Bytes between two parts of memory, all bits set: NaN to whoever reads them, and checked for writes."""


def run_machine_code(graph: Graph, plan: Plan, threads: int, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of `graph` by name. AssertionError where the code crashes or writes outside its memory.

    Threads run one after the other, the last one first: no unit may need what an earlier unit left behind.
    """
    contents = [
        np.full(plan.arena_bytes, 0xFF, np.uint8),
        np.frombuffer(plan.weights, np.uint8),
        *(np.full(plan.scratch_bytes, 0xFF, np.uint8) for _ in range(threads)),
        *(np.ascontiguousarray(feeds[name]).reshape(-1).view(np.uint8) for name in graph.inputs),
        *(np.full(graph.types[name].nbytes, 0xFF, np.uint8) for name in graph.outputs),
    ]
    memory = _Memory(contents)
    first_input, first_output = 2 + threads, 2 + threads + len(graph.inputs)
    base = {"arena": 0, "weights": 1, "input": first_input, "output": first_output}
    calls = []
    for step in plan.steps:
        kernel = step.lowered.kernel
        pointers = [memory.address(base[p.where] + p.number) + p.offset for p in step.arguments]
        table = (ctypes.c_void_p * len(pointers))(*pointers)
        for thread in reversed(range(threads)):
            begin, end = (kernel.schedule.units * number // threads for number in (thread, thread + 1))
            calls.append((_function(kernel), table, memory.address(2 + thread), begin, end))
    child = os.fork()
    if child == 0:
        for function, table, scratch, begin, end in calls:
            function(ctypes.addressof(table), scratch, begin, end)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"machine code ended with {signal.Signals(os.WTERMSIG(status)).name}"
    memory.check([f"{i}" for i in range(len(contents))], read_only=(1, *range(first_input, first_output)))
    return {
        name: memory.content(first_output + number)
        .view(graph.types[name].dtype)
        .reshape(graph.types[name].shape)
        .copy()
        for number, name in enumerate(graph.outputs)
    }


class _Memory:
    """Parts of one shared mapping, each on a cache line and with a guard before and after."""

    def __init__(self, contents: list[Array]) -> None:
        self.contents = contents
        self.starts, at = [], GUARD
        for content in contents:
            self.starts.append(at)
            at = (at + content.size + GUARD + 63) // 64 * 64
        self.whole = np.frombuffer(mmap.mmap(-1, at), np.uint8)
        self.whole[:] = 0xFF
        for number, content in enumerate(contents):
            self.content(number)[:] = content

    def address(self, number: int) -> int:
        """Address of the first byte of a part."""
        return int(self.whole.ctypes.data) + self.starts[number]

    def content(self, number: int) -> Array:
        """The bytes of a part as they are now."""
        start = self.starts[number]
        return self.whole[start : start + self.contents[number].size]

    def check(self, names: list[str], read_only: tuple[int, ...]) -> None:
        """AssertionError where guards or read-only parts have changed."""
        ends = [0, *(s + c.size for s, c in zip(self.starts, self.contents, strict=True))]
        for number, (end, start) in enumerate(zip(ends, [*self.starts, self.whole.size], strict=True)):
            changed = np.flatnonzero(self.whole[end:start] != 0xFF)
            assert not changed.size, (
                f"machine code wrote {changed[0]} bytes after the end of part {number - 1}"
            )
        for number in read_only:
            assert (self.content(number) == self.contents[number]).all(), (
                f"machine code wrote into read-only part {names[number]}"
            )


_functions: dict[str, Any] = {}


def _function(kernel: Kernel) -> Any:
    """The kernel's function, compiled once per process."""
    if kernel.symbol not in _functions:
        code = assemble(kernel_text(kernel), kernel.target)
        engine = _engine(kernel.target)
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        engine.finalize_object()
        type_ = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        _functions[kernel.symbol] = type_(engine.get_function_address(kernel.symbol))
    return _functions[kernel.symbol]


@cache
def _engine(target: Target) -> Any:
    machine = llvm.Target.from_triple(target.triple).create_target_machine(cpu=target.cpu, jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
