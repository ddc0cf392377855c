"""The README's tables, written from records: python -m benchmarks.readme_table [RECORDS…] [--readme README.md]

RECORDS are files of `fusekit compare`, by default all of benchmarks/records. One table for each line-up of engines at each number of threads
replaces what stands between the two markers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fusekit.errors import UserError
from fusekit.toolkit.compare.lineup import OURS
from fusekit.toolkit.compare.record import EngineRecord, read_engine_records
from fusekit.toolkit.compare.standing import Standing, geometric_mean, standings
from fusekit.toolkit.duration import duration
from fusekit.toolkit.measure.statistics import Speedup

BEGIN = "<!-- figures: written by python -m benchmarks.readme_table -->"
END = "<!-- end of figures -->"
RECORDS = Path(__file__).parent / "records"


def tables(records: Sequence[EngineRecord]) -> str:
    """Markdown: a table for each line-up of engines and number of threads, in the order of the records."""
    found: dict[tuple[tuple[str, ...], int], list[EngineRecord]] = {}
    lineups: dict[str, list[str]] = {}
    for record in records:
        lineups.setdefault(record.session, []).append(record.engine)
    for record in records:
        found.setdefault((tuple(lineups[record.session]), record.rules.threads), []).append(record)
    return "\n\n".join(_table(group) for group in found.values())


def _table(records: Sequence[EngineRecord]) -> str:
    found = standings(records)
    ours, *others = found[0].engines
    peers = [name for name in others if not name.startswith(OURS)]
    best = len(peers) > 1
    head = ["model", ours, *others, *(["best peer"] if best else [])]
    lines = [_caption(records), "", _row(head), _row(["---"] + ["---:"] * (len(head) - 1))]
    for standing in found:
        cells = [_cell(standing.ratios.get(name)) for name in others]
        median = duration(standing.medians[ours].value) if ours in standing.medians else "–"
        lines.append(_row([standing.model, median, *cells, *([_best(standing)] if best else [])]))
    means = [_mean([s.ratios[name] for s in found if name in s.ratios]) for name in others]
    of_best = _mean([s.ratios[s.best] for s in found if s.best is not None])
    lines.append(_row(["**geometric mean**", "", *means, *([of_best] if best else [])]))
    return "\n".join(lines)


def _caption(records: Sequence[EngineRecord]) -> str:
    first = records[0]
    versions = dict.fromkeys(record.version for record in records if record.version)
    threads = "1 thread" if first.rules.threads == 1 else f"{first.rules.threads} threads"
    return (
        f"{first.facts.model}, {threads}, {first.rules.precision}, {first.created[:10]}; {', '.join(versions)}. "
        f"Times of fusekit, then each engine's time over it with its 95 % interval: above 1, fusekit is faster."
    )


def _best(standing: Standing) -> str:
    return f"{standing.best} {_cell(standing.ratios[standing.best])}" if standing.best else "–"


def _mean(ratios: Sequence[Speedup]) -> str:
    return f"**{_cell(geometric_mean(ratios))}**" if ratios else "–"


def _cell(ratio: Speedup | None) -> str:
    return f"{ratio.value:.2f} ({ratio.low:.2f}–{ratio.high:.2f})" if ratio else "–"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replaced(text: str, between: str) -> str:
    """`text` with what stands between the markers replaced; raises UserError where they are not there once each."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise UserError(
            f"the README has not one line '{BEGIN}' and after it one '{END}': write both where the tables go"
        )
    return f"{before}{BEGIN}\n\n{between}\n\n{END}{after}"


def main() -> None:
    """Rewrites the README."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("records", nargs="*", type=Path, default=[RECORDS], metavar="RECORDS")
    parser.add_argument("--readme", type=Path, default=Path(__file__).parents[1] / "README.md")
    given = parser.parse_args()
    try:
        records = read_engine_records(given.records)
        given.readme.write_text(
            replaced(given.readme.read_text(encoding="utf-8"), tables(records)), encoding="utf-8"
        )
    except UserError as error:
        sys.exit(f"readme_table: {error}")


if __name__ == "__main__":
    main()
