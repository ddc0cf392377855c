"""LLVM modules to machine code: target machines, the pass pipeline, ELF objects and listings."""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm

from .target import Target


@cache
def _machine(cpu: str, triple: str) -> Any:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, opt=3, reloc="pic", codemodel="small"
    )


def optimise(text: str, target: Target) -> Any:
    """The module parsed, verified and optimised for `target`."""
    machine = _machine(target.cpu, target.triple)
    module = llvm.parse_assembly(text)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = (
        options.loop_interleaving
    ) = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return module


def assemble(text: str, target: Target) -> bytes:
    """A relocatable ELF object of the module."""
    return bytes(_machine(target.cpu, target.triple).emit_object(optimise(text, target)))


def listing(text: str, target: Target) -> str:
    """The module as assembly."""
    return str(_machine(target.cpu, target.triple).emit_assembly(optimise(text, target)))
