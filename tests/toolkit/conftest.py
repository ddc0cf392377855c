from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from ..lab.fixtures import lab, pi5, pi5_board

__all__ = ["lab", "pi5", "pi5_board"]


@pytest.fixture(autouse=True)
def own_device_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices on this machine keep their files and locks in a folder of the test's own: another test may lock or clean its `local`."""
    folder: Path = tmp_path_factory.mktemp("devices")
    monkeypatch.setattr(importlib.import_module("fusekit.devices.open_device"), "cache_dir", lambda: folder)
