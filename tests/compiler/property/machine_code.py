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

PAGE = mmap.PAGESIZE
GUARD = 16 * PAGE
"""Bytes that nobody may touch, before and after every part of memory."""
SLACK = 0xFF
"""Every byte around a part up to the next page: NaN to whoever reads it, and checked for writes."""


def run_machine_code(graph: Graph, plan: Plan, threads: int, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of `graph` by name. AssertionError where the code crashes, writes outside its memory, or strays far outside it.

    It runs twice: with every part of memory behind an unmapped page, and with every part before one. Threads run one after the other, the
    last one first: no unit may need what an earlier unit left behind.
    """
    behind, before = (_run(graph, plan, threads, feeds, at_end) for at_end in (False, True))
    for name in graph.outputs:
        assert np.array_equal(behind[name], before[name], equal_nan=True), (
            f"{name} depends on where memory lies"
        )
    return behind


def _run(
    graph: Graph, plan: Plan, threads: int, feeds: Mapping[str, Array], at_end: bool
) -> dict[str, Array]:
    parts = [
        _Part("arena", np.full(plan.arena_bytes, 0xFF, np.uint8), at_end, 64),
        _Part("weights", np.frombuffer(plan.weights, np.uint8), at_end, 64, read_only=True),
        *(_Part("scratch", np.full(plan.scratch_bytes, 0xFF, np.uint8), at_end, 64) for _ in range(threads)),
        *(_Part(name, _bytes_of(feeds[name]), at_end, read_only=True) for name in graph.inputs),
        *(_Part(name, np.full(graph.types[name].nbytes, 0xFF, np.uint8), at_end) for name in graph.outputs),
    ]
    base = {"arena": 0, "weights": 1, "input": 2 + threads, "output": 2 + threads + len(graph.inputs)}
    calls = []
    for step in plan.steps:
        kernel = step.lowered.kernel
        pointers = [parts[base[p.where] + p.number].address + p.offset for p in step.arguments]
        table = (ctypes.c_void_p * len(pointers))(*pointers)
        for thread in reversed(range(threads)):
            begin, end = (kernel.schedule.units * number // threads for number in (thread, thread + 1))
            calls.append((_function(kernel), table, parts[2 + thread].address, begin, end))
    child = os.fork()
    if child == 0:
        for function, table, scratch, begin, end in calls:
            function(ctypes.addressof(table), scratch, begin, end)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"machine code ended with {signal.Signals(os.WTERMSIG(status)).name}"
    for part in parts:
        part.check()
    results = {}
    for name, part in zip(graph.outputs, parts[base["output"] :], strict=True):
        type_ = graph.types[name]
        results[name] = part.content.copy().view(type_.dtype).reshape(type_.shape)
    return results


def _bytes_of(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class _Part:
    """Shared memory that starts on a page, or ends on one as nearly as its alignment allows, between pages that may not be touched."""

    def __init__(
        self, name: str, content: Array, at_end: bool, alignment: int = 4, read_only: bool = False
    ) -> None:
        self.name, self.initial, self.read_only = name, content, read_only
        size = max(1, -(-content.size // PAGE)) * PAGE
        memory = np.frombuffer(mmap.mmap(-1, size + 2 * GUARD), np.uint8)
        for start in (0, GUARD + size):
            failed = _libc.mprotect(ctypes.c_void_p(memory.ctypes.data + start), ctypes.c_size_t(GUARD), 0)
            assert not failed, "no protection for the guards"
        self.pages = memory[GUARD : GUARD + size]
        self.pages[:] = SLACK
        self.start = (size - content.size) // alignment * alignment if at_end else 0
        self.content[:] = content

    @property
    def content(self) -> Array:
        """The bytes as they are now."""
        return self.pages[self.start : self.start + self.initial.size]

    @property
    def address(self) -> int:
        """Address of the first byte."""
        return int(self.pages.ctypes.data) + self.start

    def check(self) -> None:
        """AssertionError where bytes around the part, or a read-only part, have changed."""
        end = self.start + self.initial.size
        around = np.concatenate([self.pages[: self.start], self.pages[end:]])
        assert (around == SLACK).all(), f"machine code wrote outside {self.name}"
        assert not self.read_only or (self.content == self.initial).all(), (
            f"machine code wrote into {self.name}"
        )


_libc = ctypes.CDLL(None)
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
