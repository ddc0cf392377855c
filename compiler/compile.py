"""compile_model: a model file becomes a bundle. The whole pipeline on one page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .. import __version__
from ..errors import UserError
from .bands import form_bands
from .bundle import MAX_THREADS, SCHEMA, Bundle, KernelInfo, Manifest, TargetInfo, TensorInfo, sha256
from .fusion import LEVELS, Fused, Level, fuse
from .graph import Graph
from .header import header
from .importers.onnx import import_onnx
from .kernel_cache import kernel_objects
from .lower_group import lower_group
from .lowered import Lowered
from .objects import assemble
from .passes import canonicalise
from .placement import Placed, place
from .plan import Plan, Step, make_plan
from .planes import turn_planes
from .program import generate_program, program_of
from .relocatable import join_objects
from .rows import form_rows
from .schedule_table import Chooser, ScheduleTable, table_for
from .target import Target, find_target
from .tolerance import relative_tolerance
from .winograd import form_winograd, gains


@dataclass(frozen=True)
class Options:
    """What to compile for. `shapes` binds dynamic dimensions by input name."""

    target: str = "host"
    fusion: Level = "full"
    threads: int = 1
    bands: bool = True
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    winograd: bool = True
    schedules: ScheduleTable | None = None
    """Choices that measurement made; None: those that come with fusekit for the target."""

    def checked(self) -> Options:
        """The options with every shape a tuple; UserError for values of another type or out of range."""
        if not isinstance(_any(self.target), str):
            raise UserError(f"target is {self.target!r}: give a name, such as 'host' or 'rpi5'")
        if not isinstance(_any(self.bands), bool):
            raise UserError(f"bands is {self.bands!r}: give True or False")
        if not isinstance(_any(self.winograd), bool):
            raise UserError(f"winograd is {self.winograd!r}: give True or False")
        if self.schedules is not None and not isinstance(_any(self.schedules), ScheduleTable):
            raise UserError(
                f"schedules is {self.schedules!r}: give a table, as read_table('FILE.toml') returns one"
            )
        if not _is_int(self.threads):
            raise UserError(f"threads is {self.threads!r}: give an int from 1 to {MAX_THREADS}")
        if self.fusion not in LEVELS:
            raise UserError(f"unknown fusion level {self.fusion!r}: levels are {', '.join(LEVELS)}")
        if not 1 <= self.threads <= MAX_THREADS:
            raise UserError(f"{self.threads} threads: fusekit compiles for 1 to {MAX_THREADS}")
        return replace(self, shapes=_shapes(self.shapes))


def _any(value: object) -> object:
    # mypy holds callers to the annotations, Python does not
    return value


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shapes(given: object) -> dict[str, tuple[int, ...]]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise UserError(
            f"shapes is {given!r}: give a dict of input names to shapes, like {{'x': (1, 3, 224, 224)}}"
        )
    for name, shape in given.items():
        if not isinstance(shape, Sequence) or not all(_is_int(n) and n > 0 for n in shape):
            raise UserError(
                f"shapes gives {name!r} as {shape!r}: give a tuple of positive ints, like (1, 3, 224, 224)"
            )
    return {name: tuple(shape) for name, shape in given.items()}


@dataclass(frozen=True)
class Stages:
    """Every stage of one compilation, for inspection and tests."""

    target: Target
    graph: Graph
    fused: Fused
    placed: Placed
    lowered: tuple[Lowered, ...]
    plan: Plan
    constants: Mapping[str, np.ndarray]


def compile_model(path: Path, options: Options) -> Bundle:
    """Compile the ONNX model at `path`. UserError where the model or the options cannot be compiled."""
    options = options.checked()
    stages = lower_graph(canonicalise(import_onnx(Path(path), options.shapes)), options)
    return assemble_bundle(stages, options, hashlib.sha256(Path(path).read_bytes()).hexdigest())


def lower_graph(graph: Graph, options: Options) -> Stages:
    """Graph to plan: fuse, place, schedule, assign memory."""
    target = find_target(options.target)
    choose = Chooser(_table(options, target), target.machine)
    graph, fused = form_groups(graph, options)
    constants = {**graph.constants, **fused.constants}
    placed = place(graph, fused)
    if options.fusion == "full" and options.bands:
        fused = form_rows(graph, fused, placed, target)
    names = frozenset(constants)
    lowered = tuple(
        lower_group(g, placed.layouts, placed.types, names, target, options.threads, choose)
        for g in fused.groups
    )
    plan = make_plan(graph, placed, lowered, constants)
    return Stages(target, graph, fused, placed, lowered, plan, constants)


def form_groups(graph: Graph, options: Options) -> tuple[Graph, Fused]:
    """What is computed together, before memory is laid out, and the graph with all values that lie there."""
    target = find_target(options.target)
    table = _table(options, target)
    fused = fuse(graph, options.fusion)
    tiled = [options.winograd and gains(g, graph, fused, target, table) for g in fused.groups]
    graph, fused = turn_planes(graph, fused, target.machine, tiled)
    if options.winograd:
        fused = form_winograd(graph, fused, target, table)
    if options.fusion == "full" and options.bands:
        fused = form_bands(graph, fused, target)
    return graph, fused


def _table(options: Options, target: Target) -> ScheduleTable:
    return table_for(target) if options.schedules is None else options.schedules.checked(target)


def assemble_bundle(stages: Stages, options: Options, model_sha256: str) -> Bundle:
    """Plan to files: generate, assemble and join the kernels and the program."""
    target, plan, graph = stages.target, stages.plan, stages.graph
    kernels = kernel_objects([step.lowered.kernel for step in plan.steps])
    identity = hashlib.sha256(
        "\n".join([str(plan), graph.name, str(options.threads), *sorted(kernels)]).encode() + plan.weights
    ).hexdigest()[:16]
    program = program_of(f"fk_model_{identity}", graph, plan, target, options.threads)
    objects = [kernels[symbol] for symbol in sorted(kernels)]
    model = join_objects([assemble(str(generate_program(program)), target), *objects])
    manifest = Manifest(
        SCHEMA, graph.name, identity, program.symbol, model_sha256, __version__,
        TargetInfo(target.name, target.triple, target.cpu, target.features), options.fusion, options.bands, options.threads,
        tuple(_tensor(graph, v, 0.0) for v in graph.inputs),
        tuple(_tensor(graph, v, relative_tolerance(graph, v)) for v in graph.outputs),
        tuple(_kernel(stages, step, i) for i, step in enumerate(plan.steps)),
        plan.arena_bytes, len(plan.weights), plan.scratch_bytes * options.threads, sum(map(len, objects)),
        {"model.o": sha256(model), "weights.bin": sha256(plan.weights)},
    )  # fmt: skip
    files = {
        "model.o": model,
        "model.h": header(manifest).encode(),
        "weights.bin": plan.weights,
        "manifest.json": manifest.to_json().encode(),
    }
    return Bundle(manifest, files)


def _tensor(graph: Graph, value: str, rtol: float) -> TensorInfo:
    type_ = graph.types[value]
    return TensorInfo(value, type_.dtype, type_.shape, type_.nbytes, rtol, 1e-6 if rtol else 0.0)


def _kernel(stages: Stages, step: Step, number: int) -> KernelInfo:
    group, kernel = stages.fused.groups[number], step.lowered.kernel
    touched = sum(stages.placed.types[b.buffer].nbytes for b in step.lowered.bindings)
    flops = sum(stage.flops for stage in group.stages)
    label = "+".join(group.nodes[:1]) if group.nodes else kernel.symbol
    return KernelInfo(kernel.symbol, label, group.ops, flops, touched, str(kernel.schedule))
