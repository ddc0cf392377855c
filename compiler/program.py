"""Plan to LLVM module: the function that runs a model's kernels in order, and the descriptor by which programs find it.

Every thread runs it and takes its share of each kernel's units; between kernels they meet at the caller's barrier. There is no table and no
dispatch at run time: kernels are called by name with pointers that are constants plus the caller's bases. The layout of the structs is
`runtime/fusekit.h`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from .emit import I32, I64, PTR, Value, opaque
from .graph import Graph
from .plan import Place, Plan, Step
from .target import Target

ABI = 1
_CALL = ir.LiteralStructType([PTR] * 7)
_FIELDS = {"inputs": 0, "outputs": 1, "weights": 2, "arena": 3, "scratch": 4, "barrier": 5, "tick": 6}


@dataclass(frozen=True)
class Program:
    """What the model object is made of, besides the kernels."""

    symbol: str
    """Of the descriptor: ``fk_model_<16 hex>``."""
    plan: Plan
    target: Target
    threads: int
    input_bytes: tuple[int, ...]
    output_bytes: tuple[int, ...]


def program_of(symbol: str, graph: Graph, plan: Plan, target: Target, threads: int) -> Program:
    """The program that runs `plan` on `threads` threads."""
    sizes = [tuple(graph.types[v].nbytes for v in values) for values in (graph.inputs, graph.outputs)]
    return Program(symbol, plan, target, threads, *sizes)


def generate_program(program: Program) -> ir.Module:
    """A module that defines the descriptor and its entry in section ``fk_models``; kernels are declared."""
    module = ir.Module(program.symbol)
    module.triple = program.target.triple
    run = _Entry(module, program, "run", ticks=False).function
    profile = _Entry(module, program, "profile", ticks=True).function
    plan = program.plan
    fields: list[Any] = [
        ir.Constant(I32, ABI), ir.Constant(I32, program.threads),
        ir.Constant(I32, len(program.input_bytes)), ir.Constant(I32, len(program.output_bytes)),
        ir.Constant(I32, len(plan.steps)), ir.Constant(I32, 0),
        ir.Constant(I64, len(plan.weights)), ir.Constant(I64, plan.arena_bytes), ir.Constant(I64, plan.scratch_bytes * program.threads),
        _array(module, program.symbol + ".inputs", program.input_bytes), _array(module, program.symbol + ".outputs", program.output_bytes),
        _string(module, program.symbol + ".symbol", program.symbol),
        _string(module, program.symbol + ".features", ",".join(program.target.features)),
        run, profile,
    ]  # fmt: skip
    struct = ir.LiteralStructType([f.type if not isinstance(f, ir.GlobalValue) else PTR for f in fields])
    descriptor = ir.GlobalVariable(module, struct, program.symbol)
    descriptor.initializer = ir.Constant(
        struct, [f.bitcast(PTR) if isinstance(f, ir.GlobalValue) else f for f in fields]
    )
    descriptor.global_constant = True
    entry = ir.GlobalVariable(module, PTR, program.symbol.replace("fk_model_", "fk_entry_"))
    entry.initializer = descriptor.bitcast(PTR)
    entry.section = "fk_models"
    entry.global_constant = True
    used = ir.GlobalVariable(module, ir.ArrayType(PTR, 1), "llvm.used")
    used.initializer = ir.Constant(used.type.pointee, [entry.bitcast(PTR)])
    used.linkage, used.section = "appending", "llvm.metadata"
    return module


def _array(module: ir.Module, name: str, values: tuple[int, ...]) -> ir.GlobalVariable:
    type_ = ir.ArrayType(I64, len(values))
    variable = ir.GlobalVariable(module, type_, name)
    variable.initializer = ir.Constant(type_, [ir.Constant(I64, v) for v in values])
    variable.linkage, variable.global_constant = "internal", True
    return variable


def _string(module: ir.Module, name: str, text: str) -> ir.GlobalVariable:
    data = bytearray(text.encode() + b"\0")
    type_ = ir.ArrayType(ir.IntType(8), len(data))
    variable = ir.GlobalVariable(module, type_, name)
    variable.initializer = ir.Constant(type_, data)
    variable.linkage, variable.global_constant = "internal", True
    return variable


class _Entry:
    """``void entry(fk_call *call, int64_t thread)``."""

    def __init__(self, module: ir.Module, program: Program, name: str, ticks: bool) -> None:
        self.module, self.program = module, program
        signature = ir.FunctionType(ir.VoidType(), [PTR, I64])
        self.function = ir.Function(module, signature, f"{program.symbol}.{name}")
        self.function.linkage = "internal"
        self.call, self.thread = self.function.args
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))
        most = max((len(s.arguments) for s in program.plan.steps), default=1)
        self.slots = opaque(self.b, self.b.alloca(ir.ArrayType(PTR, max(1, most))))
        bases = {field: self._field(field) for field in ("inputs", "outputs", "weights", "arena", "scratch")}
        stride = ir.Constant(I64, program.plan.scratch_bytes)
        scratch = self._offset(bases["scratch"], self.b.mul(self.thread, stride))
        for number, step in enumerate(program.plan.steps):
            self._step(step, bases, scratch)
            if program.threads > 1:
                self._callback("barrier", [self.call, self.thread])
            if ticks:
                self._callback("tick", [self.call, self.thread, ir.Constant(I64, number)])
        self.b.ret_void()

    def _field(self, name: str, type_: Any = PTR) -> Value:
        where = self.b.gep(
            self.call, [ir.Constant(I32, 0), ir.Constant(I32, _FIELDS[name])], source_etype=_CALL
        )
        return self.b.load(where, typ=type_)

    def _callback(self, name: str, args: list[Value]) -> None:
        type_ = ir.FunctionType(ir.VoidType(), [a.type for a in args])
        self.b.call(self._field(name, type_.as_pointer()), args)

    def _offset(self, pointer: Value, amount: Value) -> Value:
        return self.b.gep(pointer, [amount], source_etype=ir.IntType(8))

    def _step(self, step: Step, bases: dict[str, Value], scratch: Value) -> None:
        kernel = step.lowered.kernel
        for number, place in enumerate(step.arguments):
            slot = self.b.gep(self.slots, [ir.Constant(I64, number)], source_etype=PTR)
            self.b.store(self._pointer(place, bases), slot)
        function = self.module.globals.get(kernel.symbol)
        if function is None:
            function = ir.Function(
                self.module, ir.FunctionType(ir.VoidType(), [PTR, PTR, I64, I64]), kernel.symbol
            )
        begin, end = self._share(kernel.schedule.units)
        self.b.call(function, [self.slots, scratch, begin, end])

    def _pointer(self, place: Place, bases: dict[str, Value]) -> Value:
        base = bases[place.where + "s"] if place.where in ("input", "output") else bases[place.where]
        if place.where in ("input", "output"):
            base = self.b.load(self.b.gep(base, [ir.Constant(I64, place.number)], source_etype=PTR), typ=PTR)
        return self._offset(base, ir.Constant(I64, place.offset)) if place.offset else base

    def _share(self, units: int) -> tuple[Value, Value]:
        """The thread's units: ``units * thread // threads`` up to the same for the next."""
        if self.program.threads == 1:
            return ir.Constant(I64, 0), ir.Constant(I64, units)
        count, total = ir.Constant(I64, self.program.threads), ir.Constant(I64, units)
        begin = self.b.udiv(self.b.mul(self.thread, total), count)
        following = self.b.add(self.thread, ir.Constant(I64, 1))
        return begin, self.b.udiv(self.b.mul(following, total), count)
