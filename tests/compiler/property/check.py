"""One graph or model through the whole pipeline: every stage is run and compared with ONNX Runtime; a failure names the first that differs."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from fusekit.compiler import target as targets
from fusekit.compiler.compile import Options, lower_graph
from fusekit.compiler.fusion import Level
from fusekit.compiler.graph import Graph
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.interpret_stage import run_groups
from fusekit.compiler.passes import canonicalise
from fusekit.compiler.target import TARGETS

from .draft import ModelCase, run_onnxruntime
from .machine_code import run_machine_code
from .net import Case
from .onnx_model import reference

Array = np.ndarray[Any, Any]
T = TypeVar("T")

DISPUTED = frozenset(
    {"AveragePool", "ConvTranspose", "GlobalMaxPool", "LRN", "LpNormalization", "MaxPool", "Pad"}
)
"""Operators that ONNX's reference implementation gets wrong in part: ends of pools, sums over channels, norms of negative numbers."""


@dataclass(frozen=True)
class Setting:
    """What to compile for. `l2_bytes` replaces the size of the cache that tiles and bands are cut for; 0 keeps the target's."""

    level: Level = "full"
    target: str = "x86-64-v3"
    threads: int = 1
    l2_bytes: int = 0
    machine_code: bool = True

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))

    def __str__(self) -> str:
        cache = f", {self.l2_bytes} bytes of cache" if self.l2_bytes else ""
        return f"{self.level} for {self.target}, {self.threads} threads{cache}"


def runnable() -> list[str]:
    """Targets whose code this machine runs."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return []
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    have = set(flags.split())
    return [name for name, row in TARGETS.items() if row.arch == "x86_64" and set(row.features) <= have]


@contextmanager
def _target(setting: Setting) -> Iterator[str]:
    """The name of a target with the setting's cache, known while the context lasts."""
    if not setting.l2_bytes:
        yield setting.target
        return
    row = TARGETS[setting.target]
    name = f"{row.name} with {setting.l2_bytes} bytes of cache"
    table = targets.TARGETS
    assert isinstance(table, dict)
    table[name] = replace(row, machine=replace(row.machine, l2_bytes=setting.l2_bytes))
    try:
        yield name
    finally:
        del table[name]


@dataclass(frozen=True)
class _Expected:
    """What the outputs are, within what, and the text of what computes them."""

    outputs: Mapping[str, Array]
    tolerances: Mapping[str, float]
    about: Case | ModelCase


def check(case: Case, *settings: Setting) -> None:
    """AssertionError with the graph, the setting and the first stage whose result is not what ONNX Runtime computes."""
    want = _Expected(reference(case.graph, case.feeds), case.tolerances, case)
    _stage(want, "graph", lambda: run_graph(case.graph, case.feeds))
    for setting in settings:
        _check(case.graph, case.feeds, want, setting)


def check_model(case: ModelCase, *settings: Setting) -> None:
    """`check` of a model, from its file on; what ONNX Runtime computes is compared with ONNX's reference implementation as well."""
    want = _Expected(run_onnxruntime(case.model, case.feeds), case.tolerances, case)
    if (second := _run_onnx_reference(case)) is not None:
        _stage(want, "onnx.reference", lambda: second)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "random.onnx")
        onnx.save(case.model, path)
        imported = _step(want, "import", lambda: import_onnx(path, {}))
    _stage(want, "import", lambda: run_graph(imported, case.feeds))
    graph = _step(want, "passes", lambda: canonicalise(imported))
    _stage(want, "passes", lambda: run_graph(graph, case.feeds))
    for setting in settings:
        _check(graph, case.feeds, want, setting)


def _run_onnx_reference(case: ModelCase) -> dict[str, Array] | None:
    """What ONNX's reference implementation computes; None where it does not, or is known to be wrong."""
    names = [output.name for output in case.model.graph.output]
    if DISPUTED & {node.op_type for node in case.model.graph.node}:
        return None
    with np.errstate(all="ignore"):
        try:
            found = ReferenceEvaluator(case.model).run(names, dict(case.feeds))
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            # It lacks operators, and refuses some forms of others.
            return None
    return {name: np.asarray(value) for name, value in zip(names, found, strict=True)}


def _check(graph: Graph, feeds: Mapping[str, Array], want: _Expected, setting: Setting) -> None:
    with _target(setting) as name:
        options = Options(name, setting.level, setting.threads)
        stages = _step(want, f"lowering ({setting})", lambda: lower_graph(graph, options))
    _stage(want, f"groups ({setting})", lambda: run_groups(stages.graph, stages.fused, feeds))
    _stage(want, f"kernels ({setting})", lambda: run_plan(stages.graph, stages.plan, feeds))
    if setting.machine_code and setting.target in runnable():
        code = f"machine code ({setting})"
        _stage(want, code, lambda: run_machine_code(graph, stages.plan, setting.threads, feeds))


def _step(want: _Expected, name: str, run: Callable[[], T]) -> T:
    try:
        return run()
    except Exception as error:
        raise AssertionError(f"{name} fails with {type(error).__name__}: {error}\n{want.about}") from error


def _stage(want: _Expected, name: str, run: Callable[[], dict[str, Array]]) -> None:
    got = _step(want, name, run)
    for output, expected in want.outputs.items():
        value = got[output]
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape), (
            f"{name}: {output} is {value.dtype}{value.shape}\n{want.about}"
        )
        if expected.dtype == np.float32:
            difference = np.abs(value.astype(np.float64) - expected)
            wrong = ~(difference <= want.tolerances[output])
        else:
            difference = wrong = value != expected
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(
                f"{name}: {output}{list(where)} is {value[where]} and should be {expected[where]} within "
                f"{want.tolerances[output]:.2e}; {wrong.sum()} of {wrong.size} elements are wrong\n{want.about}"
            )
