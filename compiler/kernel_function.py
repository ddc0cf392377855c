"""The function of a kernel, empty: its signature, its attributes, and the pointers that it is handed."""

from __future__ import annotations

from llvmlite import ir

from .emit import I64, PTR, Emitter, Value
from .target import Target


class _Attributes(ir.values.FunctionAttributes):  # type: ignore[misc]
    """Function attributes, with the string ones that llvmlite does not list."""

    def add(self, name: str) -> None:
        if name.startswith('"'):
            set.add(self, name)
        else:
            super().add(name)


def kernel_function(
    target: Target, name: str, buffers: int
) -> tuple[ir.Module, Emitter, list[Value], Value, Value, Value]:
    """An empty kernel ``void name(void *const *buffers, void *scratch, int64 begin, int64 end)`` with its buffers loaded.

    The body is a private function whose pointers are noalias, so that LLVM may keep values in registers across stores.
    """
    module = ir.Module(name)
    module.triple = target.triple
    signature = ir.FunctionType(ir.VoidType(), [PTR, PTR, I64, I64])
    outer = ir.Function(module, signature, name)
    outer.linkage = "weak_odr"
    body_type = ir.FunctionType(ir.VoidType(), [PTR] * buffers + [PTR, I64, I64])
    inner = ir.Function(module, body_type, name + ".body")
    inner.linkage = "internal"
    for function in (outer, inner):
        tuning = [f'"target-cpu"="{target.instructions}"', f'"tune-cpu"="{target.tune}"']
        function.attributes = _Attributes(["nounwind", '"no-builtins"', *tuning])
    for argument in inner.args[: buffers + 1]:
        argument.add_attribute("noalias")
    wrapper = ir.IRBuilder(outer.append_basic_block("entry"))
    pointers = []
    for number in range(buffers):
        slot = wrapper.gep(outer.args[0], [ir.Constant(I64, number)], source_etype=PTR)
        pointers.append(wrapper.load(slot, typ=PTR))
    wrapper.call(inner, [*pointers, *outer.args[1:]])
    wrapper.ret_void()
    emitter = Emitter(target, module, inner)
    args = list(inner.args)
    return module, emitter, args[:buffers], args[buffers], args[buffers + 1], args[buffers + 2]
