"""A model compiled before comes from the cache, unless anything that decides its bytes changed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest

import fusekit
from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, compile_model
from fusekit.toolkit import bundle_cache

from .fake_bundle import write_model


class Compiler:
    """Counts what it compiles."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path, options: Options) -> Bundle:
        self.calls += 1
        return compile_model(path, options)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bundles are kept."""
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bundles"


def test_a_model_is_compiled_once(tmp_path: Path, folder: Path) -> None:
    model, compiler = write_model(tmp_path / "m.onnx"), Compiler()
    first, second = (bundle_cache.find_or_compile(model, Options(), compiler) for _ in range(2))
    assert compiler.calls == 1
    assert dict(second.files) == dict(first.files)
    assert second.manifest == first.manifest
    assert pickle.loads(pickle.dumps(second)) == second


def test_another_name_option_or_content_is_compiled(tmp_path: Path, folder: Path) -> None:
    model, compiler = write_model(tmp_path / "m.onnx"), Compiler()
    named = write_model(tmp_path / "n.onnx")
    for path, options in [(model, Options()), (named, Options()), (model, Options(threads=2))]:
        assert bundle_cache.find_or_compile(path, options, compiler).manifest.name == path.stem
    proto = onnx.load(model)
    proto.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.array([3], np.float32), proto.graph.initializer[0].name)
    )
    onnx.save(proto, model)
    bundle_cache.find_or_compile(model, Options(), compiler)
    assert compiler.calls == 4


@pytest.mark.parametrize("name", ["model.o", "weights.bin", "manifest.json"])
def test_a_damaged_bundle_is_compiled_again(tmp_path: Path, folder: Path, name: str) -> None:
    model, compiler = write_model(tmp_path / "m.onnx"), Compiler()
    bundle_cache.find_or_compile(model, Options(), compiler)
    (kept,) = folder.iterdir()
    (kept / name).write_bytes(b"?")
    for _ in range(2):
        bundle_cache.find_or_compile(model, Options(), compiler)
    assert compiler.calls == 2


def test_external_weights_are_read_every_time(tmp_path: Path, folder: Path) -> None:
    model, compiler = write_model(tmp_path / "m.onnx"), Compiler()
    onnx.save(onnx.load(model), model, save_as_external_data=True, location="m.data", size_threshold=0)
    for _ in range(2):
        bundle_cache.find_or_compile(model, Options(), compiler)
    assert compiler.calls == 2


@pytest.mark.parametrize("limit", ["MOST_BYTES", "MOST_BUNDLES"])
def test_the_oldest_bundle_makes_room(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    models, compiler = [write_model(tmp_path / f"{name}.onnx") for name in "abc"], Compiler()
    found = [bundle_cache.find_or_compile(model, Options(), compiler) for model in models[:2]]
    most = {"MOST_BYTES": 2 * sum(map(len, found[0].files.values())) + 500, "MOST_BUNDLES": 2}[limit]
    monkeypatch.setattr(bundle_cache, limit, most)
    bundle_cache.find_or_compile(models[0], Options(), compiler)
    bundle_cache.find_or_compile(models[2], Options(), compiler)
    assert len(list(folder.iterdir())) == 2
    bundle_cache.find_or_compile(models[0], Options(), compiler)
    assert compiler.calls == 3, "b was used longest ago"


def test_a_cached_bundle_runs_from_the_weights_of_the_cache(tmp_path: Path, folder: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    feeds = {"x": np.ones((1, 16), np.float32)}
    want = fusekit.load(fusekit.compile(model)).run(feeds)["y"]
    bundle = fusekit.compile(model)
    assert bundle.cached_in is not None
    with fusekit.load(bundle) as loaded:
        np.testing.assert_array_equal(loaded.run(feeds)["y"], want)
    for file in bundle.cached_in.iterdir():
        file.unlink()
    np.testing.assert_array_equal(fusekit.load(bundle).run(feeds)["y"], want)
