"""`fusekit compare` on a small model, as the command line runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusekit.toolkit.cli import main

from .fake_bundle import write_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    write_model(tmp_path / "small.onnx")
    return tmp_path


def code(*argv: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["compare", *argv])
    return ended.value.code
