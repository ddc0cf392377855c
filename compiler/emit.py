"""Emitter: LLVM instructions for typed values, coordinates and loops. One of the three files that know llvmlite.

A `Coord` is an affine position known partly at generation time: a constant plus multiples of run-time values, with bounds and a known
divisor. Constants end up in addressing modes, bounds decide guards, divisors decide which divisions are free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from llvmlite import ir

from .graph import item_bytes
from .target import Target

I64 = ir.IntType(64)
I32 = ir.IntType(32)
PTR = ir.PointerType()
Module = ir.Module
Value = Any
"""An LLVM value; llvmlite has no useful types."""

_MEMORY_TYPES: dict[str, Any] = {
    "float32": ir.FloatType(), "float64": ir.DoubleType(), "int64": I64, "int32": I32,
    "int8": ir.IntType(8), "uint8": ir.IntType(8), "bool": ir.IntType(8),
}  # fmt: skip


@dataclass(frozen=True)
class Coord:
    """``const + sum(value * factor)``, within ``[lo, hi]``; the run-time part is a multiple of `align`."""

    const: int
    terms: tuple[tuple[Value, int], ...] = ()
    lo: int = 0
    hi: int = 0
    align: int = 0
    """0: the run-time part is 0."""

    @staticmethod
    def at(value: int) -> Coord:
        """A position known now."""
        return Coord(value, (), value, value)

    @property
    def static(self) -> bool:
        """Whether the position is known at generation time."""
        return not self.terms

    def __add__(self, other: Coord | int) -> Coord:
        if isinstance(other, int):
            return Coord(self.const + other, self.terms, self.lo + other, self.hi + other, self.align)
        return Coord(
            self.const + other.const,
            self.terms + other.terms,
            self.lo + other.lo,
            self.hi + other.hi,
            gcd(self.align, other.align),
        )

    def __mul__(self, factor: int) -> Coord:
        ends = sorted((self.lo * factor, self.hi * factor))
        terms = tuple((v, f * factor) for v, f in self.terms) if factor else ()
        return Coord(self.const * factor, terms, ends[0], ends[1], abs(self.align * factor))

    def within(self, lo: int, hi: int) -> Coord:
        """The same position, known to be in ``[lo, hi]``."""
        return Coord(self.const, self.terms, max(lo, self.lo), min(hi, self.hi), self.align)


class Emitter:
    """Builds one function; every method appends at the current end."""

    def __init__(self, target: Target, module: ir.Module, function: ir.Function) -> None:
        self.target = target
        self.module = module
        self.function = function
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self._second_half: Value | None = None

    # -- types and constants

    def type(self, dtype: str, lanes: int = 1) -> Any:
        """The register type of `lanes` elements; one lane is a scalar, bool is i1."""
        scalar = ir.IntType(1) if dtype == "bool" else _MEMORY_TYPES[dtype]
        return scalar if lanes == 1 else ir.VectorType(scalar, lanes)

    def constant(self, value: float | bool, dtype: str, lanes: int = 1) -> Value:
        """`value` in every lane."""
        plain = float(value) if dtype.startswith("float") else int(value)
        scalar = ir.Constant(self.type(dtype), plain)
        return scalar if lanes == 1 else ir.Constant(self.type(dtype, lanes), [scalar] * lanes)

    def i64(self, value: Value | int) -> Value:
        """An index constant, or the value itself."""
        return ir.Constant(I64, value) if isinstance(value, int) else value

    def intrinsic(self, name: str, result: Any, args: Sequence[Value]) -> Value:
        """Call the intrinsic of that full name, declared on first use."""
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.builder.call(function, list(args))

    # -- coordinates and memory

    def materialise(self, coord: Coord) -> Value:
        """The coordinate as an i64."""
        total = self._variable(coord)
        if total is None:
            return self.i64(coord.const)
        return self.builder.add(total, self.i64(coord.const)) if coord.const else total

    def _variable(self, coord: Coord) -> Value | None:
        total = None
        for value, factor in coord.terms:
            part = value if factor == 1 else self.builder.mul(value, self.i64(factor))
            total = part if total is None else self.builder.add(total, part)
        return total

    def coord(self, value: Value | int, lo: int, hi: int, align: int = 1) -> Coord:
        """A run-time value in ``[lo, hi]`` as a coordinate."""
        return Coord.at(value) if isinstance(value, int) else Coord(0, ((value, 1),), lo, hi, align)

    def unflattened(self, number: Coord, extents: Sequence[int]) -> list[Coord]:
        """The coordinates of element `number` in a grid of `extents`, outermost first."""
        found: list[Coord] = []
        rest = self.materialise(number)
        for extent in reversed(extents[1:]):
            found.append(self.coord(self.builder.urem(rest, self.i64(extent)), 0, extent - 1))
            rest = self.builder.udiv(rest, self.i64(extent))
        found.append(self.coord(rest, 0, extents[0] - 1))
        return found[::-1]

    def address(self, pointer: Value, dtype: str, coord: Coord) -> Value:
        """Pointer to the element at `coord`; the constant part is added last, where addressing modes take it."""
        element = _MEMORY_TYPES[dtype]
        variable = self._variable(coord)
        if variable is not None:
            pointer = self.builder.gep(pointer, [variable], source_etype=element)
        return (
            self.builder.gep(pointer, [self.i64(coord.const)], source_etype=element)
            if coord.const
            else pointer
        )

    def load(self, pointer: Value, dtype: str, lanes: int = 1) -> Value:
        """`lanes` adjacent elements."""
        memory = _MEMORY_TYPES[dtype] if lanes == 1 else ir.VectorType(_MEMORY_TYPES[dtype], lanes)
        value = self.builder.load(pointer, typ=memory)
        value.align = item_bytes(dtype)
        return self.builder.trunc(value, self.type("bool", lanes)) if dtype == "bool" else value

    def store(self, value: Value, pointer: Value, dtype: str) -> None:
        """Write all lanes of `value` to adjacent elements."""
        if dtype == "bool":
            lanes = lanes_of(value)
            wide = _MEMORY_TYPES[dtype] if lanes == 1 else ir.VectorType(_MEMORY_TYPES[dtype], lanes)
            value = self.builder.zext(value, wide)
        self.builder.store(value, pointer).align = item_bytes(dtype)

    def load_barrier(self) -> None:
        """What is loaded after this is not loaded before: LLVM would, for want of registers to hold it spill something."""
        nothing = ir.FunctionType(ir.VoidType(), [])
        self.builder.asm(nothing, "", "~{memory}", [], True)

    def prefetch(self, pointer: Value, near: bool) -> None:
        """Ask for the cache line at `pointer`, which need not be in a buffer: into the first-level cache, or the second-level one only."""
        flags = [ir.Constant(I32, flag) for flag in (0, 3 if near else 2, 1)]  # for reading, how near, data
        self.intrinsic("llvm.prefetch.p0", ir.VoidType(), [pointer, *flags])

    def scratch(self, dtype: str, count: int) -> Value:
        """An array on the stack, allocated once in the entry block."""
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(ir.ArrayType(_MEMORY_TYPES[dtype], count))
            slot.align = 64
            return opaque(self.builder, slot)

    def variable(self, initial: int = 0) -> Value:
        """A mutable i64 in the entry block; LLVM turns it into a register."""
        with self.builder.goto_entry_block():
            slot = self.builder.alloca(I64)
        self.builder.store(self.i64(initial), slot)
        return slot

    # -- vectors

    def splat(self, scalar: Value, lanes: int) -> Value:
        """`scalar` in every lane."""
        if lanes == 1:
            return scalar
        vector = ir.VectorType(scalar.type, lanes)
        single = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(I32, 0))
        zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
        return self.builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)

    def lane(self, vector: Value, index: int, lanes: int) -> Value:
        """Element `index` of `vector` in all of `lanes` lanes: a multiply-add by lane reads it in place."""
        if lanes == 1:
            return self.extract(vector, index)
        mask = ir.Constant(ir.VectorType(I32, lanes), [index] * lanes)
        return self.builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)

    def shuffled(self, a: Value, b: Value, order: Sequence[int]) -> Value:
        """The elements of `a` and then `b` with those numbers."""
        if len(order) == 1:
            return self.extract(a, order[0])
        if lanes_of(a) == 1:
            return self.splat(a, len(order))
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(order)), list(order)))

    def shuffle(self, lanes: int, order: Sequence[int]) -> Callable[[Value], Value]:
        """`shuffled` of one vector of so many lanes after the other, by the same order."""
        across = any(number // 4 != i // 4 for i, number in enumerate(order))
        if not (lanes == len(order) == 16 and across and self.target.arch == "x86_64"):
            return lambda vector: self.shuffled(vector, vector, order)
        # AVX-512: one instruction by numbers in a register, for which LLVM would take two or three by numbers of their own
        numbers = self.hidden(ir.Constant(ir.VectorType(I32, 16), list(order)))
        single = self.type("float32", 16)
        return lambda vector: self.intrinsic("llvm.x86.avx512.permvar.sf.512", single, [vector, numbers])

    def joined(self, a: Value, b: Value) -> Value:
        """The elements of `a` and then those of `b`, which are no more."""
        have, more = lanes_of(a), lanes_of(b)
        return self.shuffled(a, self.widened(b, have), range(have + more))

    def first_and_second_half(self, a: Value, b: Value) -> Value:
        """The first half of `a` and the second of `b`."""
        lanes = lanes_of(a)
        if lanes != 16:
            return self.shuffled(a, b, [*range(lanes // 2), *range(3 * lanes // 2, 2 * lanes)])
        # AVX-512: by a mask that LLVM does not know, for of one that it knows it makes a shuffle, which fewer pipes do
        if self._second_half is None:  # one for all: there are few registers for masks
            with self.builder.goto_entry_block():
                bits = self.hidden(ir.Constant(ir.IntType(16), 0xFF00))
                self._second_half = self.builder.bitcast(bits, ir.VectorType(ir.IntType(1), 16))
        return self.builder.select(self._second_half, b, a)

    def hidden(self, value: Value) -> Value:
        """The same vector, integer or pointer, of which LLVM does not know what it is made of."""
        same = ir.FunctionType(value.type, [value.type])
        vector = "w" if self.target.arch == "aarch64" else "v"
        register = "r" if isinstance(value.type, ir.IntType | ir.PointerType) else vector
        return self.builder.asm(same, "", f"={register},0", [value], False)

    def widened(self, vector: Value, lanes: int) -> Value:
        """`vector` with zeros behind it, up to `lanes` elements."""
        have = lanes_of(vector)
        if have == lanes:
            return vector
        if have == 1:
            zeros = ir.Constant(ir.VectorType(vector.type, lanes), [_zero(vector.type)] * lanes)
            return self.builder.insert_element(zeros, vector, ir.Constant(I32, 0))
        zeros = ir.Constant(vector.type, [_zero(vector.type.element)] * have)
        return self.shuffled(vector, zeros, [*range(have), *[have] * (lanes - have)])

    def gather(self, scalars: Sequence[Value]) -> Value:
        """A vector of the given scalars."""
        if len(scalars) == 1:
            return scalars[0]
        vector = ir.Constant(ir.VectorType(scalars[0].type, len(scalars)), ir.Undefined)
        for number, scalar in enumerate(scalars):
            vector = self.builder.insert_element(vector, scalar, ir.Constant(I32, number))
        return vector

    def extract(self, vector: Value, index: int) -> Value:
        """Element `index`; a scalar is its own element 0."""
        if not isinstance(vector.type, ir.VectorType):
            return vector
        return self.builder.extract_element(vector, ir.Constant(I32, index))

    def muladd(self, a: Value, b: Value, c: Value | None) -> Value:
        """``a * b + c``, fused where the target fuses; the product alone where there is no c yet."""
        if c is None:
            return self.builder.fmul(a, b)
        if not self.target.machine.has_fma:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        return self.intrinsic(f"llvm.fma.{mangle(a.type)}", a.type, [a, b, c])

    # -- control flow

    def loop(
        self, lo: Value | int, hi: Value | int, step: int, body: Callable[[Coord, list[Value]], Sequence[Value]],
        carried: Sequence[Value] = (), bounds: tuple[int, int] | None = None, align: int | None = None,
    ) -> list[Value]:  # fmt: skip
        """``for i in range(lo, hi, step)`` carrying values through `body(i, values) -> values`; unrolls a single iteration.

        `bounds` are the smallest and largest i, needed when `lo` or `hi` is known only at run time; `align` divides i.
        """
        static = isinstance(lo, int) and isinstance(hi, int)
        if static and lo >= hi:
            return list(carried)
        if static and lo + step >= hi:
            return list(body(Coord.at(lo), list(carried)))
        b = self.builder
        if static:
            last = lo + (hi - 1 - lo) // step * step
            bounds = (lo, last)
        assert bounds is not None, "a loop with run-time ends needs bounds"
        if align is None:
            align = gcd(lo, step) if isinstance(lo, int) else 1
        before = b.block
        head = b.append_basic_block("loop")
        after = b.append_basic_block("done")
        start, end = self.i64(lo), self.i64(hi)
        if static:
            b.branch(head)
        else:
            b.cbranch(b.icmp_signed("<", start, end), head, after)
        b.position_at_end(head)
        counter = b.phi(I64)
        counter.add_incoming(start, before)
        phis = []
        for value in carried:
            phi = b.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        results = list(body(Coord(0, ((counter, 1),), *bounds, align), list(phis)))
        following = b.add(counter, self.i64(step), flags=["nsw"])
        counter.add_incoming(following, b.block)
        for phi, value in zip(phis, results, strict=True):
            phi.add_incoming(value, b.block)
        tail = b.block
        b.cbranch(b.icmp_signed("<", following, end), head, after)
        b.position_at_end(after)
        if static:
            return results
        outs = []
        for value, result in zip(carried, results, strict=True):
            phi = b.phi(value.type)
            phi.add_incoming(value, before)
            phi.add_incoming(result, tail)
            outs.append(phi)
        return outs

    def when(
        self, condition: Value, then: Callable[[], None], otherwise: Callable[[], None] | None = None
    ) -> None:
        """``if condition: then() else: otherwise()``."""
        b = self.builder
        yes, after = b.append_basic_block("then"), b.append_basic_block("join")
        no = b.append_basic_block("else") if otherwise else after
        b.cbranch(condition, yes, no)
        b.position_at_end(yes)
        then()
        b.branch(after)
        if otherwise:
            b.position_at_end(no)
            otherwise()
            b.branch(after)
        b.position_at_end(after)

    def minimum(self, a: Value | int, b: Value | int) -> Value | int:
        """The smaller of two i64."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        a, b = self.i64(a), self.i64(b)
        return self.builder.select(self.builder.icmp_signed("<", a, b), a, b)

    def maximum(self, a: Value | int, b: Value | int) -> Value | int:
        """The larger of two i64."""
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        a, b = self.i64(a), self.i64(b)
        return self.builder.select(self.builder.icmp_signed(">", a, b), a, b)

    def finish(self) -> None:
        """End the function."""
        self.builder.ret_void()


def opaque(builder: ir.IRBuilder, pointer: Value) -> Value:
    """`pointer` without llvmlite's own idea of what it points to, which LLVM has not any more."""
    plain = builder.gep(pointer, [ir.Constant(I64, 0)], source_etype=ir.IntType(8))
    plain.type = PTR
    return plain


def _zero(element: ir.Type) -> int | float:
    return 0 if isinstance(element, ir.IntType) else 0.0


def lanes_of(value: Value) -> int:
    """Elements of a vector; 1 for a scalar."""
    return value.type.count if isinstance(value.type, ir.VectorType) else 1


def mangle(type_: Any) -> str:
    """LLVM's suffix of an overloaded intrinsic: ``v8f32``, ``i64``."""
    if isinstance(type_, ir.VectorType):
        return f"v{type_.count}{mangle(type_.element)}"
    if isinstance(type_, ir.FloatType):
        return "f32"
    return "f64" if isinstance(type_, ir.DoubleType) else f"i{type_.width}"
