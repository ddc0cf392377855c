"""The table of a comparison: a row a model, a column an engine, means over models, and who took no part."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ...devices.device import Facts
from ..compare.record import EngineRecord
from ..compare.standing import Standing, geometric_mean
from ..compare.standing import standings as standings_of
from ..duration import duration
from ..measure.statistics import Speedup
from .screen import stdout

KINDS = {"unavailable": "not available", "check": "wrong", "crash": "crashed"}
FAILED = "failed"
"""What the kinds of a device's errors are called."""


def print_standings(records: Sequence[EngineRecord]) -> None:
    """Medians, and each engine's time over that of the first, fusekit, with its interval."""
    console = stdout()
    standings, first = standings_of(records), records[0]
    ours, *others = dict.fromkeys(name for standing in standings for name in standing.engines)
    rules = first.rules
    console.print(
        f"{first.facts.model}, {rules.threads} {'thread' if rules.threads == 1 else 'threads'} on CPU "
        f"{','.join(map(str, rules.cpus))}, {rules.precision}, denormals {rules.denormals}; "
        f"times, and over that of {ours} with 95 % intervals",
        soft_wrap=True,
    )
    table = Table(show_lines=True)
    for heading in ("model", ours, *others, "best peer"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for standing in standings:
        cells = [_cell(standing, name) for name in (ours, *others)]
        table.add_row(standing.model, *cells, _best(standing))
    if len(standings) > 1:
        table.add_row(
            "geometric mean", "", *(_mean(standings, name) for name in others), _mean_of_best(standings)
        )
    console.print(table)
    for line in _failures(standings):
        console.print(line, style="dim", soft_wrap=True, markup=False)
    if any(_busy(record.facts) for record in records):
        console.print(
            "note: other programs were running (a load of more than half of the CPUs).", style="dim"
        )


def _busy(facts: Facts) -> bool:
    return facts.load1 is not None and facts.load1 > facts.n_cpus / 2


def _cell(standing: Standing, name: str) -> str:
    if name in standing.failures:
        return KINDS.get(standing.failures[name].kind, FAILED)
    if name not in standing.medians:
        return "right" if name in standing.engines else "–"  # emulated: checked, not timed
    median = duration(standing.medians[name].value)
    return f"{median}\n{_ratio(standing.ratios[name])}" if name in standing.ratios else median


def _ratio(ratio: Speedup) -> str:
    return f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def _best(standing: Standing) -> str:
    return f"{standing.best}\n{_ratio(standing.ratios[standing.best])}" if standing.best else "–"


def _mean(standings: Sequence[Standing], name: str) -> str:
    ratios = [s.ratios[name] for s in standings if name in s.ratios]
    of = f"\nof {len(ratios)}" if len(ratios) < len(standings) else ""
    return _ratio(geometric_mean(ratios)) + of if ratios else "–"


def _mean_of_best(standings: Sequence[Standing]) -> str:
    ratios = [s.ratios[s.best] for s in standings if s.best]
    return _ratio(geometric_mean(ratios)) if ratios else "–"


def _failures(standings: Sequence[Standing]) -> list[str]:
    """One line a reason, with the models that it holds for."""
    models: dict[str, list[str]] = {}
    for standing in standings:
        for name, failure in standing.failures.items():
            how = KINDS.get(failure.kind, FAILED)
            models.setdefault(f"{name} {how}: {failure.message}", []).append(standing.model)
    return [f"{reason} ({', '.join(names)})" for reason, names in models.items()]
