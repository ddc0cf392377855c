"""How many random nets are tried, from which seed, and for which settings of the compiler."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from fusekit.compiler.fusion import LEVELS

from .check import Setting, runnable

EXAMPLES = int(os.environ.get("FUSEKIT_EXAMPLES", "8"))
SEED = int(os.environ.get("FUSEKIT_SEED", "0"))
AGAIN = f"found with FUSEKIT_SEED={SEED} FUSEKIT_EXAMPLES={EXAMPLES}"
"""How to see a failure again."""

CACHES = (0, 512, 256, 4096, 512, 1024)
TARGETS = tuple(name for name in runnable()) or ("x86-64-v3",)


def tried(examples: int) -> Callable[[Any], Any]:
    """A property tried on so many nets, shrunk where it fails; a seed chooses them, so that a run can be had again."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )


@st.composite
def compiled_settings(draw: st.DrawFn) -> tuple[Setting, ...]:
    """Every level for the interpreters, one of them at times as machine code too."""
    target = draw(st.sampled_from(TARGETS))
    threads, cache = draw(st.sampled_from((1, 2))), draw(st.sampled_from(CACHES))
    compiled = draw(st.sampled_from(("", "", "", "full", "full", "full", "basic", "none")))
    return tuple(Setting(level, target, threads, cache, level == compiled) for level in LEVELS)
