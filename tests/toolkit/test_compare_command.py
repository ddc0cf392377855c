"""`fusekit compare`: real engines on a small net, its table, its records and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusekit.toolkit.compare.record import read_engine_records

from .small_model import code, folder

__all__ = ["folder"]


def test_onnx_runtime_and_two_levels_take_turns_on_a_small_model(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines = "onnxruntime,onnxruntime-none,fusekit-none,litert"
    options = ["--rounds", "2", "--turn-ms", "1", "-o", "r.jsonl"]
    assert code("small.onnx", "--engines", engines, *options) == 0
    printed = capsys.readouterr()
    for name in ("small", "fusekit-full", *engines.split(","), "best peer", "denormals flushed to zero"):
        assert name in printed.out
    assert "litert not available: " in printed.out and printed.err == "records: r.jsonl\n"
    records = read_engine_records([folder / "r.jsonl"])
    assert [record.engine for record in records] == ["fusekit-full", *engines.split(",")]
    assert all(record.samples_ns and len(record.samples_ns) == 2 for record in records[:-1])
    assert records[1].version.startswith("onnxruntime ") and records[0].version == "fusekit 0.1.0"


def test_json_prints_the_records(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code("small.onnx", "--engines", "onnxruntime", "--rounds", "2", "--turn-ms", "1", "--json") == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["engine"] for line in lines] == ["fusekit-full", "onnxruntime"]
    (written,) = (folder / "reports" / "comparisons").iterdir()
    assert written.read_text() == printed.out


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["no.onnx"], "model no.onnx does not exist: give an ONNX file"),
        (["small.onnx", "--engines", "ort"], "unknown engine 'ort': "),
        (
            ["small.onnx", "--fusion", "full,none"],
            "--fusion full,none is more than one level: give one, and others as --engines fusekit-none",
        ),
        (
            ["small.onnx", "--tflite", "no.tflite"],
            "--tflite no.tflite is the file of one model: give one MODEL and a file that exists",
        ),
        (["small.onnx", "--cpus", "x"], "--cpus 'x' is no list of CPU numbers: write it like 3,2,1,0"),
        (["small.onnx", "-o", "."], ". cannot be written (Is a directory): name another place with -o"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_user_errors_are_one_line(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(*argv) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {text}") and printed.err.count("\n") == 1
