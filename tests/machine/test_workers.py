"""Processes that compile kernels run the code of the process that started them."""

from __future__ import annotations

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
