"""Processes that compile kernels run the code of the process that started them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fusekit.compiler import kernel_cache

from .kernels import kernel_of

NETS = ("depthwise3x3", "outputs8", "outputs24")


def test_a_package_of_the_same_name_in_the_current_folder_is_not_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fusekit").mkdir()
    (tmp_path / "fusekit" / "__init__.py").write_text("raise ImportError('another fusekit')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_cache, "WORTH_A_WORKER", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    kernels = [kernel_of(net, "x86-64-v3") for net in NETS]
    assert kernel_cache.kernel_objects(kernels).keys() == {kernel.symbol for kernel in kernels}


def test_an_empty_entry_of_the_path_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    paths = kernel_cache.worker_environment()["PYTHONPATH"].split(os.pathsep)
    assert paths[0] == str(tmp_path) and all(map(os.path.isabs, paths))


def test_a_worker_that_dies_at_once_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "WORTH_A_WORKER", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(kernel_cache, "worker_environment", lambda: {"PYTHONPATH": str(tmp_path / "nothing")})
    (tmp_path / "nothing" / "fusekit").mkdir(parents=True)
    (tmp_path / "nothing" / "fusekit" / "__init__.py").write_text("raise ImportError('no such luck')")
    with pytest.raises(RuntimeError, match="no such luck"):
        kernel_cache.kernel_objects([kernel_of(net, "x86-64-v3") for net in NETS])
