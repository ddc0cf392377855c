"""The script that writes the README's figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.readme_table import BEGIN, END, main, replaced, tables
from fusekit import UserError
from fusekit.toolkit.compare.record import write_engine_records

from .test_compare import timed


def test_tables_show_ratios_the_best_peer_and_their_means() -> None:
    records = [
        timed(engine, ns * scale, session)
        for session, scale in (("s", 1), ("t", 4))
        for engine, ns in (("fusekit-full", 10_000), ("a", 40_000), ("b", 20_000))
    ]
    lines = tables(records).splitlines()
    assert lines[2:4] == [
        "| model | fusekit-full | a | b | best peer |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    assert lines[4].startswith("| m | 10.0 µs | 4.00 (") and "| b 2.00 (" in lines[4]
    assert lines[6].startswith("| **geometric mean** |  | **4.00 (") and lines[6].endswith(")** |")
    # another line-up is another table
    assert tables([*records, timed("fusekit-full", 9, "u")]).count("| model |") == 2


def test_readme_is_changed_between_the_markers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme, records = tmp_path / "README.md", tmp_path / "r.jsonl"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_engine_records(records, [timed("fusekit-full", 1000), timed("a", 3000)])
    monkeypatch.setattr(sys, "argv", ["readme_table", str(records), "--readme", str(readme)])
    main()
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n") and text.endswith(f"\n\n{END}\nafter\n")
    assert "| m | 1.00 µs | 3.00 (" in text and "old" not in text


@pytest.mark.parametrize("text", ["", BEGIN, f"{END} {BEGIN}", f"{BEGIN} {END} {BEGIN} {END}"])
def test_a_readme_without_markers_is_refused(text: str) -> None:
    with pytest.raises(
        UserError, match="^the README has not one line '<!-- figures: .*write both where the tables go$"
    ):
        replaced(text, "")
