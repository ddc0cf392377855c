"""One graph through the whole pipeline: every stage is run and compared with ONNX Runtime; a failure names the first that differs."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fusekit.compiler import target as targets
from fusekit.compiler.compile import Options, lower_graph
from fusekit.compiler.fusion import Level
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.interpret_stage import run_groups
from fusekit.compiler.target import TARGETS

from .machine_code import run_machine_code
from .net import Case
from .onnx_model import reference

Array = np.ndarray[Any, Any]
T = TypeVar("T")


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


def check(case: Case, *settings: Setting) -> None:
    """AssertionError with the graph, the setting and the first stage whose result is not what ONNX Runtime computes."""
    want = reference(case.graph, case.feeds)
    _stage(case, want, "graph", lambda: run_graph(case.graph, case.feeds))
    for setting in settings:
        _check(case, want, setting)


def _check(case: Case, want: Mapping[str, Array], setting: Setting) -> None:
    graph, feeds = case.graph, case.feeds
    with _target(setting) as name:
        options = Options(name, setting.level, setting.threads)
        stages = _step(case, f"lowering ({setting})", lambda: lower_graph(graph, options))
    _stage(case, want, f"groups ({setting})", lambda: run_groups(graph, stages.fused, feeds))
    _stage(case, want, f"kernels ({setting})", lambda: run_plan(graph, stages.plan, feeds))
    if setting.machine_code and setting.target in runnable():
        code = f"machine code ({setting})"
        _stage(case, want, code, lambda: run_machine_code(graph, stages.plan, setting.threads, feeds))


def _step(case: Case, name: str, run: Callable[[], T]) -> T:
    try:
        return run()
    except Exception as error:
        raise AssertionError(f"{name} fails with {type(error).__name__}: {error}\n{case}") from error


def _stage(case: Case, want: Mapping[str, Array], name: str, run: Callable[[], dict[str, Array]]) -> None:
    got = _step(case, name, run)
    for output, expected in want.items():
        value = got[output]
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape), (
            f"{name}: {output} is {value.dtype}{value.shape}\n{case}"
        )
        if expected.dtype == np.float32:
            difference = np.abs(value.astype(np.float64) - expected)
            wrong = ~(difference <= case.tolerances[output])
        else:
            difference = wrong = value != expected
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(
                f"{name}: {output}{list(where)} is {value[where]} and should be {expected[where]} within "
                f"{case.tolerances[output]:.2e}; {wrong.sum()} of {wrong.size} elements are wrong\n{case}"
            )
