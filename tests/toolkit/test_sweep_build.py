"""What a recipe comes to is kept, checked when it is read, and made by the compiler that the sweep was planned with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusekit import UserError
from fusekit.compiler.fusion import Level
from fusekit.toolkit.cli import main
from fusekit.toolkit.sweep.build import CompilerDied, compile_into_cache, folder_of, obtain
from fusekit.toolkit.sweep.job import Recipe
from fusekit.toolkit.sweep.plan import compiler_hash, model_sha256

from .fake_bundle import write_model


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Of the tiny model, in a cache of its own; compiled in this process."""
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fusekit.toolkit.sweep.build._compile_elsewhere", compile_into_cache)
    model = str(write_model(tmp_path / "tiny.onnx"))
    levels: tuple[Level, ...] = ("none", "full")
    return Recipe(
        model, model_sha256(model), "cortex-a53", levels, (1, 2), True, True, (), 0, compiler_hash()
    )


def test_build_is_compiled_once_and_made_again_when_it_is_damaged(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = obtain(recipe)
    variants = [(b.manifest.threads, b.manifest.fusion) for b in build.bundles]
    assert variants == [(1, "none"), (1, "full"), (2, "none"), (2, "full")]
    x = build.feeds["x"].astype(np.float32)
    assert np.array_equal(build.want["y"][0], 2 * x[0, ::-1] + np.arange(16, dtype=np.float32))
    assert build.bundles[0].files["weights.bin"] is build.bundles[2].files["weights.bin"]
    (folder_of(recipe) / "1" / "model.o").write_bytes(b"rubbish")
    assert obtain(recipe).hashes == build.hashes
    monkeypatch.setattr("fusekit.toolkit.sweep.build._compile_elsewhere", None)
    assert obtain(recipe).hashes == build.hashes


def test_build_elsewhere_needs_the_same_compiler(recipe: Recipe) -> None:
    with pytest.raises(
        UserError, match="where the sweep was planned with other: install the same fusekit on every"
    ):
        obtain(replace(recipe, compiler="other"))


def test_build_refuses_a_model_that_is_another_by_now(recipe: Recipe) -> None:
    path = Path(recipe.model)
    path.write_bytes(path.read_bytes() + b"\x12\x01a")
    with pytest.raises(UserError, match="tiny.onnx has changed since the sweep was planned: start it again"):
        obtain(recipe)


def test_build_whose_process_is_killed_says_by_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path))
    dies = tmp_path / "python"
    dies.write_text("#!/bin/sh\nkill -9 $$\n")
    dies.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dies))
    recipe = Recipe("tiny.onnx", "", "cortex-a53", ("full",), (1,), True, True, (), 0, "")
    with pytest.raises(CompilerDied, match="that compiled tiny for cortex-a53 died of signal 9"):
        obtain(recipe)


def test_sweep_with_a_scheduler_needs_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "tiny.onnx")
    (tmp_path / "inventory.yaml").write_text("devices: {here: {transport: local}}\n")
    (tmp_path / "rack.yaml").write_text("models: tiny.onnx\ndevices: here\n")
    monkeypatch.delitem(sys.modules, "fusekit.toolkit.sweep.dask_pool", raising=False)
    for name in ("dask", "distributed"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "rack.yaml", "--scheduler", "tcp://127.0.0.1:9"])
    assert ended.value.code == 2
    assert "needs dask, which is not installed: type pip install 'fusekit[fleet]'" in capsys.readouterr().err
