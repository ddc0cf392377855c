"""A bundle whose steps measure the machine: independent multiply-adds, and streams over working sets of growing size.

To the runner and to `model.so` it is a model like any other. So it runs on every device, on as many threads as a model, and in one session
with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ... import __version__
from ...compiler.bundle import SCHEMA, Bundle, KernelInfo, Manifest, TargetInfo, TensorInfo, sha256
from ...compiler.emit import Coord, Emitter, Value
from ...compiler.kernel import Argument, Block, Kernel, Schedule
from ...compiler.kernel import Place as Loops
from ...compiler.kernel_function import kernel_function
from ...compiler.lowered import Binding, Lowered
from ...compiler.objects import assemble
from ...compiler.plan import Place, Plan, Step
from ...compiler.program import Program, generate_program
from ...compiler.relocatable import join_objects
from ...compiler.stage import Stage
from ...compiler.target import Target

SIZES = tuple(16 << 10 << step for step in range(13))
"""Working sets in bytes, of all threads together: 16 KiB to 64 MiB, from the first cache of a board to the memory of most machines."""
STREAMED = 4 << 20
"""Bytes that a stream moves at least, in as many passes as that takes."""
UNIT = 1024
"""Bytes of a unit of a stream; a thread has a contiguous share of them."""
UNROLL = 4
CHAINS = 12
"""Independent accumulators: two pipes times a latency of up to six, in the registers that every target has."""
REPEATS = 20_000
HALF = 0x3F000000
"""The bits of 0.5, which is all that the streams write and the output then holds: a number needs a check."""
OUTPUT = TensorInfo("fusekit.probe", "float32", (16,), 64)
ANSWER = np.full(OUTPUT.shape, 0.5, np.float32)


@dataclass(frozen=True)
class Probe:
    """One step: what it measures and its work in one run, all threads together."""

    label: str
    units: int
    flops: int
    bytes: int
    emit: Body


Body = Callable[[Emitter, Value, Value, Value, Value], None]
"""Appends a kernel's body, for the streamed memory, the output, the first unit and the end of the units."""


def probes(target: Target, threads: int, sizes: Sequence[int] = SIZES) -> tuple[Probe, ...]:
    """The multiply-adds, then for each of `sizes` a write, a read and a copy, with labels like ``read 16384``; last the output."""
    flops = 2 * target.machine.lanes * CHAINS * REPEATS * threads
    found = [Probe("multiply-adds", threads, flops, 0, _multiply_adds)]
    for size in sizes:
        passes = max(1, STREAMED // size)
        for kind in ("write", "read", "copy"):
            span = size // 2 if kind == "copy" else size
            found.append(Probe(f"{kind} {size}", span // UNIT, 0, size * passes, _stream(kind, span, passes)))
    return (*found, Probe("output", 1, 0, 0, _output))


def probe_bundle(
    target: Target,
    threads: int,
    inputs: tuple[TensorInfo, ...] = (),
    model_sha256: str = "",
    sizes: Sequence[int] = SIZES,
) -> Bundle:
    """The probe for `target`; `inputs` and the digest are those of a model that it shares a runner with."""
    found = probes(target, threads, sizes)
    kernels = [_kernel(probe, target) for probe in found]
    objects = [assemble(_code(p, k), target) for p, k in zip(found, kernels, strict=True)]
    steps = tuple(
        Step(Lowered(kernel, (Binding("memory"), Binding("output"))), (Place("arena", 0), Place("output", 0)))
        for kernel in kernels
    )
    plan = Plan(steps, max(SIZES), 0, b"")
    identity = hashlib.sha256("\n".join([*map(str, kernels), str(inputs), str(threads)]).encode()).hexdigest()
    symbol = f"fk_model_{identity[:16]}"
    program = Program(symbol, plan, target, threads, tuple(t.bytes for t in inputs), (OUTPUT.bytes,))
    model = join_objects([assemble(str(generate_program(program)), target), *objects])
    manifest = Manifest(
        SCHEMA, "probe", identity[:16], symbol, model_sha256, __version__,
        TargetInfo(target.name, target.triple, target.cpu, target.features), "none", False, threads, inputs, (OUTPUT,),
        tuple(KernelInfo(k.symbol, p.label, (), p.flops, p.bytes, "") for p, k in zip(found, kernels, strict=True)),
        plan.arena_bytes, 0, 0, sum(map(len, objects)), {"model.o": sha256(model), "weights.bin": sha256(b"")},
    )  # fmt: skip
    files = {
        "model.o": model,
        "model.h": b"",
        "weights.bin": b"",
        "manifest.json": manifest.to_json().encode(),
    }
    return Bundle(manifest, files)


def _kernel(probe: Probe, target: Target) -> Kernel:
    """What the program needs to know of a kernel: a name for its text, and how many units there are."""
    stage = Stage(f"probe_{probe.label.replace(' ', '_').replace('-', '_')}", (), (), "sum", (), None, ())
    schedule = Schedule((Loops((), 0, None, 0, Block(1, 1)),), 1, probe.units)
    arguments = (Argument("memory", "float32", max(SIZES) // 4), Argument("output", "float32", ANSWER.size))
    return Kernel(target, (stage,), schedule, arguments, ())


def _code(probe: Probe, kernel: Kernel) -> str:
    module, emitter, (memory, output), _, begin, end = kernel_function(kernel.target, kernel.symbol, 2)
    probe.emit(emitter, memory, output, begin, end)
    emitter.finish()
    return str(module)


def _multiply_adds(e: Emitter, memory: Value, _output: Value, begin: Value, end: Value) -> None:
    """For each unit, REPEATS rounds of CHAINS accumulators that each become themselves times a half plus a quarter."""
    lanes, b = e.target.machine.lanes, e.builder
    # known only at run time, or LLVM would compute what the chains converge to
    known = b.icmp_signed("<", begin, end)
    factor = e.splat(b.select(known, e.constant(0.5, "float32"), e.constant(1.5, "float32")), lanes)
    addend = e.splat(b.select(known, e.constant(0.25, "float32"), e.constant(2.5, "float32")), lanes)
    # different starts: equal chains would be one
    starts = [e.constant(float(number), "float32", lanes) for number in range(CHAINS)]

    def rounds(_: Coord, chains: list[Value]) -> Sequence[Value]:
        return [e.muladd(chain, factor, addend) for chain in chains]

    def unit(number: Coord, sums: list[Value]) -> Sequence[Value]:
        return e.loop(0, REPEATS, 1, rounds, sums)

    sums = e.loop(begin, end, 1, unit, starts, bounds=(0, 1 << 20))
    total = sums[0]
    for value in sums[1:]:
        total = b.fadd(total, value)
    # a cache line of its own for every thread
    e.store(total, e.address(memory, "float32", e.coord(begin, 0, 1 << 20) * 64), "float32")


def _stream(kind: str, span: int, passes: int) -> Body:
    """Writes, reads, or copies to `span` bytes on, what the units cover, `passes` times."""

    def emit(e: Emitter, memory: Value, _output: Value, begin: Value, end: Value) -> None:
        lanes = e.target.machine.lanes
        step, b = lanes * UNROLL, e.builder
        first, last = (b.mul(unit, e.i64(UNIT // 4)) for unit in (begin, end))
        written = e.constant(HALF, "int32", lanes)

        def at(position: Coord, number: int, offset: int = 0) -> Value:
            return e.address(memory, "int32", position + (number * lanes + offset))

        def move(position: Coord, sums: list[Value]) -> Sequence[Value]:
            if kind == "write":
                for number in range(UNROLL):
                    e.store(written, at(position, number), "int32")
                return sums
            values = [e.load(at(position, number), "int32", lanes) for number in range(UNROLL)]
            if kind == "read":
                return [b.xor(total, value) for total, value in zip(sums, values, strict=True)]
            for number, value in enumerate(values):
                e.store(value, at(position, number, span // 4), "int32")
            return sums

        def one_pass(_: Coord, sums: list[Value]) -> Sequence[Value]:
            return e.loop(first, last, step, move, sums, bounds=(0, span // 4), align=UNIT // 4)

        zeros = [e.constant(0, "int32", lanes)] * UNROLL if kind == "read" else []
        sums = e.loop(0, passes, 1, one_pass, zeros)
        for number, value in enumerate(sums):
            where = e.coord(first, 0, span // 4, UNIT // 4)
            e.store(value, at(where, number), "int32")

    return emit


def _output(e: Emitter, memory: Value, output: Value, _begin: Value, _end: Value) -> None:
    """The end of the least working set, which every stream covers."""
    size = ANSWER.size
    values = e.load(e.address(memory, "float32", Coord.at(min(SIZES) // 4 - size)), "float32", size)
    e.store(values, output, "float32")
