"""The multiply-add peak of one core of this machine, measured."""

from __future__ import annotations

import ctypes
import time

import llvmlite.binding as llvm
from llvmlite import ir

from fusekit.compiler.target import Target

CHAINS = 12
"""Independent accumulators: two pipes times a latency of up to six, in the registers that every target has."""
REPEATS = 100_000

_I64 = ir.IntType(64)


class Peak:
    """A loop of independent multiply-adds of the target's vectors, compiled for it."""

    def __init__(self, target: Target) -> None:
        lanes = target.machine.lanes
        self.flops = 2 * lanes * CHAINS * REPEATS
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
            cpu=target.cpu, opt=2
        )
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(_module(target))), machine)
        self._engine.finalize_object()
        address = self._engine.get_function_address("peak")
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
        # a factor below 1 and a small addend: neither denormals nor overflow
        self._values = (ctypes.c_float * (3 * lanes))(*[0.5] * lanes, *[0.25] * lanes)

    def run_ns(self) -> int:
        """Time of one run of `flops` operations."""
        start = time.perf_counter_ns()
        self._function(ctypes.addressof(self._values))
        return time.perf_counter_ns() - start


def _module(target: Target) -> ir.Module:
    """``void peak(float *values)``: a vector of factors, one of addends, and one that takes the sum of all chains."""
    lanes = target.machine.lanes
    vector, pointer = ir.VectorType(ir.FloatType(), lanes), ir.PointerType()
    module = ir.Module("peak")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "peak")
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32")
    entry, loop, done = (function.append_basic_block(name) for name in ("entry", "loop", "done"))
    b = ir.IRBuilder(entry)
    factor = b.load(function.args[0], typ=vector, align=4)
    second = b.gep(function.args[0], [ir.Constant(_I64, lanes)], source_etype=ir.FloatType())
    addend = b.load(second, typ=vector, align=4)
    b.branch(loop)
    b.position_at_end(loop)
    count = b.phi(_I64)
    count.add_incoming(ir.Constant(_I64, 0), entry)
    chains = [b.phi(vector) for _ in range(CHAINS)]
    following = b.add(count, ir.Constant(_I64, 1))
    count.add_incoming(following, loop)
    sums = []
    for number, chain in enumerate(chains):
        fused = target.machine.has_fma
        result = b.call(fma, [chain, factor, addend]) if fused else b.fadd(b.fmul(chain, factor), addend)
        # different starts: equal chains would be one
        chain.add_incoming(ir.Constant(vector, [float(number)] * lanes), entry)
        chain.add_incoming(result, loop)
        sums.append(result)
    b.cbranch(b.icmp_unsigned("<", following, ir.Constant(_I64, REPEATS)), loop, done)
    b.position_at_end(done)
    total = sums[0]
    for value in sums[1:]:
        total = b.fadd(total, value)
    b.store(
        total, b.gep(function.args[0], [ir.Constant(_I64, 2 * lanes)], source_etype=ir.FloatType()), align=4
    )
    b.ret_void()
    return module
