"""docs/how-it-works.md shows what the tool prints: its model is built and its commands are run."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusekit.toolkit.cli import main

from ..emulated.run_bundles import emulator

TEXT = (Path(__file__).parents[2] / "docs" / "how-it-works.md").read_text(encoding="utf-8")
ELLIPSIS = "…"


def blocks(language: str) -> list[str]:
    """The fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def excerpt(text: str) -> re.Pattern[str]:
    """What the lines of `text` match: an ellipsis is any lines where it stands alone, else any text within the line."""
    lines = []
    for line in text.splitlines():
        if line == ELLIPSIS:
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(r"[^\n]*".join(map(re.escape, line.split(ELLIPSIS))) + r"\n")
    return re.compile("".join(lines))


def examples() -> Iterator[tuple[list[str], str]]:
    """Arguments of `fusekit` and what it prints."""
    for block in blocks("console"):
        command, _, printed = block.partition("\n")
        assert command.startswith("$ fusekit "), command
        yield shlex.split(command.removeprefix("$ fusekit ")), printed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the page's model in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    (code,) = blocks("python")
    (tmp_path / "small.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(tmp_path / "small.py"))
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("argv", "printed"), list(examples()))
def test_excerpt_is_what_the_command_prints(
    argv: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "rpi5-emulated" in argv:
        emulator("cortex-a76")
    with pytest.raises(SystemExit) as ended:
        main(argv)
    got = capsys.readouterr()
    assert ended.value.code in (0, None), got.err
    matches = excerpt(printed).fullmatch(got.out) is not None
    assert matches, f"fusekit {' '.join(argv)} prints\n{got.out}"


def test_excerpt_leaves_out_lines_or_parts_of_them() -> None:
    pattern = excerpt("a\n…\nb … d\n")
    assert pattern.fullmatch("a\nb c d\n") and pattern.fullmatch("a\nx\ny\nb cc d\n")
    assert not pattern.fullmatch("a\nx\nb d\n") and not pattern.fullmatch("a\nb c\nd\n")
