"""A bundle on disk: it appears whole, replaces only bundles, and damage to it is told in one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import fusekit
from fusekit import Bundle, UserError
from fusekit.compiler.bundle import sha256

from .fake_bundle import make_bundle

Damage = Callable[[Path], object]


def rewrite(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def edit(**changes: object) -> Damage:
    """Fields of manifest.json replaced."""

    def change(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def tensor(**changes: object) -> list[dict[str, object]]:
    return [{"name": "y", "dtype": "float32", "shape": [1, 16], "bytes": 64, **changes}]


def test_a_bundle_survives_its_folder(tmp_path: Path) -> None:
    bundle = make_bundle().with_file("more", b"1")
    bundle.write(tmp_path / "b")
    assert Bundle.read(tmp_path / "b") == bundle
    assert bundle.manifest.files["more"] == sha256(b"1")
    assert list(tmp_path.iterdir()) == [tmp_path / "b"]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (rewrite("weights.bin", bytes(64)), "weights.bin of the bundle b is damaged, it is not what"),
        (rewrite("weights.bin", b""), "weights.bin of the bundle b is damaged, it is not what"),
        (rewrite("model.o", b"hello"), "model.o of the bundle b is damaged, it is not what"),
        (rewrite("model.so", b""), "model.so of the bundle b is damaged, it is not what"),
        (
            lambda folder: (folder / "weights.bin").unlink(),
            "the bundle b lacks weights.bin: compile the model",
        ),
        (
            lambda folder: (folder / "manifest.json").unlink(),
            "b is no bundle: it has no manifest.json; make one",
        ),
        (rewrite("manifest.json", b"\xff\xfe"), "the bundle's manifest.json is damaged ('utf-8' codec can't"),
        (rewrite("manifest.json", b"[" * 100_000), "the bundle's manifest.json is damaged ("),
        (rewrite("manifest.json", b"[]"), "the bundle's manifest.json is damaged ("),
        (edit(schema=7), "the bundle's manifest has schema 7, this fusekit reads 1: compile the model again"),
        (edit(files=None), "the bundle's manifest.json is damaged ("),
        (
            edit(outputs=tensor(shape=[1, 8])),
            "the bundle's manifest.json is damaged (y float32[1, 8] is not 64",
        ),
        (
            edit(outputs=tensor(shape=[-1, -16])),
            "the bundle's manifest.json is damaged (y cannot be float32[-1, ",
        ),
        (edit(outputs=tensor(shape="16")), "the bundle's manifest.json is damaged ("),
        (
            edit(outputs=tensor(shape=[1.0, 16])),
            "the bundle's manifest.json is damaged (y cannot be float32[1.0,",
        ),
        (
            edit(outputs=tensor(shape=[1, 8], dtype="O")),
            "the bundle's manifest.json is damaged (y cannot be O[",
        ),
        (edit(outputs=tensor(dtype="float99")), "the bundle's manifest.json is damaged ("),
        (
            edit(outputs=tensor(shape=[1, 8], bytes=32)),
            "manifest.json and model.so of fake do not belong together, one is damaged: compile it again",
        ),
    ],
)
def test_load_refuses_a_damaged_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Damage, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with fusekit.load(make_bundle()) as model:
        assert model.manifest.files.keys() == {"model.o", "weights.bin", "model.so"}
    make_bundle().with_file("model.so", b"not read").write(Path("b"))
    (tmp_path / "b" / "model.so").unlink()  # load links another
    damage(tmp_path / "b")
    with pytest.raises(UserError) as caught:
        fusekit.load("b")
    assert str(caught.value).startswith(text)


def test_write_replaces_bundles_and_empty_folders(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir()
    for content in (b"1", b"2"):
        make_bundle().with_file(f"more{content!r}", content).write(folder)
        edit(schema=0)(folder)  # of an older fusekit
    assert not (folder / "moreb'1'").exists() and (folder / "moreb'2'").exists()
    (tmp_path / "link").symlink_to(folder)
    make_bundle().write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and "model.o" in Bundle.read(folder).files


@pytest.mark.parametrize("content", ['{"name": "app", "schema": 1}', "{", "[]", '{"symbol": "fk_model_0"}'])
def test_write_replaces_nothing_else(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError) as caught:
        make_bundle().write(tmp_path)
    assert str(caught.value) == f"{tmp_path} exists and is no bundle: name an empty or new folder with -o"
    assert (tmp_path / "manifest.json").read_text() == content


def test_a_write_that_fails_leaves_the_older_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = make_bundle()
    older.write(tmp_path / "b")
    replaced = os.replace

    def fail(source: Path, target: Path) -> None:
        if source.name == "new":
            raise OSError(28, "No space left on device")
        replaced(source, target)

    monkeypatch.setattr("fusekit.compiler.bundle.os.replace", fail)
    with pytest.raises(
        UserError, match=r"^the bundle cannot be written to .*/b \(No space left on device\): name"
    ):
        make_bundle(threads=2).write(tmp_path / "b")
    assert Bundle.read(tmp_path / "b") == older
    assert list(tmp_path.iterdir()) == [tmp_path / "b"]


def test_read_says_what_it_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle().write(tmp_path / "b")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"b cannot be read \(Permission denied\): make its files readable$"):
        Bundle.read(tmp_path / "b")
