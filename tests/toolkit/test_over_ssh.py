"""The main job: a model goes over a real sshd to a board that runs aarch64, and comes back as a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from pypdf import PdfReader

from fusekit.toolkit.cli import main
from fusekit.toolkit.measure.record import read_records

from ..lab.fixtures import LabDevice


def fusekit(*argv: object) -> None:
    """Runs the command line, which must end well."""
    try:
        main([str(part) for part in argv])
    except SystemExit as ended:
        assert not ended.code


def test_bench_over_ssh_ends_in_a_report(
    pi5: LabDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    there = ("--device", pi5.name, "--inventory", pi5.inventory)
    fusekit("bench", "zoo:face_landmark_like", *there, "--rounds", "2", "--round-ms", "10", "-o", "r.jsonl")
    records = read_records([Path("r.jsonl")])
    assert [record.fusion for record in records] == ["none", "basic", "full"]
    for record in records:
        assert record.verified and record.samples_ns is not None
        assert record.facts is not None and record.facts.model == "Raspberry Pi 5 Model B Rev 1.0"
    fusekit("report", "r.jsonl", "-o", "report.pdf")
    text = "\n".join(page.extract_text() for page in PdfReader("report.pdf").pages)
    for name in ("face_landmark_like", pi5.name, "Raspberry Pi 5 Model B Rev 1.0", "none", "basic", "full"):
        assert name in text
    fusekit("deploy", "zoo:face_landmark_like", *there)
    assert "face_landmark_like is on lab-pi5 in /" in capsys.readouterr().out
    fusekit("devices", "clean", pi5.name, "--inventory", pi5.inventory)
    assert not any((pi5.board.home / ".cache").iterdir())
