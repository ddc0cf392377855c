"""The cache folder and the files in it."""

from pathlib import Path

import pytest

from fusekit.cache import cache_dir, store
from fusekit.errors import UserError


def test_the_folder_is_the_environments_when_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path / "a" / "b"))
    assert cache_dir() == tmp_path / "a" / "b"
    assert cache_dir().is_dir()


def test_the_folder_is_in_the_home_when_nothing_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FUSEKIT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "fusekit"


def test_says_which_variable_to_set_when_the_folder_cannot_be_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError) as told:
        cache_dir()
    assert str(told.value) == (
        f"the cache folder {tmp_path}/file/cache cannot be created (Not a directory); "
        "set FUSEKIT_CACHE to a folder that can be written"
    )


def test_a_stored_file_replaces_the_old_and_leaves_nothing_else(tmp_path: Path) -> None:
    store(tmp_path / "kernels" / "k.o", b"old")
    store(tmp_path / "kernels" / "k.o", b"new")
    assert (tmp_path / "kernels" / "k.o").read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "kernels").iterdir()] == ["k.o"]


def test_nothing_is_left_when_storing_fails(tmp_path: Path) -> None:
    (tmp_path / "k.o").mkdir()
    with pytest.raises(IsADirectoryError):
        store(tmp_path / "k.o", b"content")
    assert [p.name for p in tmp_path.iterdir()] == ["k.o"]
