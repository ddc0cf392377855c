"""LLVM modules to machine code: target machines, the pass pipeline, ELF objects and listings."""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from .target import Target

LLVM_VERSION: str = llvmlite.__version__


@cache
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def _machine(target: Target) -> Any:
    """A target machine for one module: LLVM's remembers sections of modules that it has seen, by address."""
    _initialise()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.instructions, opt=3, reloc="pic", codemodel="small"
    )


def optimise(text: str, target: Target) -> Any:
    """The module parsed, verified and optimised for `target`."""
    return _optimised(text, _machine(target))


def _optimised(text: str, machine: Any) -> Any:
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
    """A relocatable ELF object of the module; equal texts give equal bytes."""
    machine = _machine(target)
    return bytes(machine.emit_object(_optimised(text, machine)))


def listing(text: str, target: Target) -> str:
    """The module as assembly."""
    machine = _machine(target)
    return str(machine.emit_assembly(_optimised(text, machine)))
