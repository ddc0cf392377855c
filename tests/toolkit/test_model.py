"""A bundle in this process: right answers, fresh outputs, clear refusals, little overhead, many threads."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fusekit
from fusekit import Bundle, UserError
from fusekit.toolkit.model import Model

from .fake_bundle import WEIGHTS, N, make_bundle

Array = npt.NDArray[np.float32]


def right(x: Array) -> Array:
    return (2 * x)[:, ::-1] + WEIGHTS


@pytest.fixture
def x() -> Array:
    return np.linspace(-1, 1, N, dtype=np.float32).reshape(1, N)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_run_gives_outputs_by_name(threads: int, x: Array) -> None:
    with fusekit.load(make_bundle(threads=threads)) as model:
        outputs = model.run({"x": x})
    assert list(outputs) == ["y"]
    assert outputs["y"].dtype == np.float32
    np.testing.assert_array_equal(outputs["y"], right(x))


def test_run_gives_fresh_outputs(x: Array) -> None:
    with fusekit.load(make_bundle()) as model:
        first = model.run({"x": x})["y"]
        kept = first.copy()
        model.run({"x": x + 1})
    np.testing.assert_array_equal(first, kept)


def test_run_copies_only_what_is_not_contiguous(x: Array) -> None:
    wide = np.repeat(x, 2, axis=1)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(1, N)
    x.flags.writeable = False
    with fusekit.load(make_bundle()) as model:
        for view in (wide[:, ::2], x[:, ::-1][:, ::-1], unaligned, x):
            np.testing.assert_array_equal(model.run({"x": view})["y"], right(x))


def test_load_maps_weights_of_a_folder(tmp_path: Path, x: Array) -> None:
    make_bundle().write(tmp_path / "bundle")
    with fusekit.load(tmp_path / "bundle") as model:
        np.testing.assert_array_equal(model.run({"x": x})["y"], right(x))
        assert not model._weights.flags.writeable
        assert str(tmp_path / "bundle" / "weights.bin") in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ({}, "input 'x' of fake is missing: its inputs are x float32[1, 16]"),
        (
            np.zeros((1, 16), np.float32),
            "fake takes a dict of input names to numpy arrays, not ndarray: its inputs are x float32[1, 16]",
        ),
        (
            [("x", 0)],
            "fake takes a dict of input names to numpy arrays, not list: its inputs are x float32[1, 16]",
        ),
        (
            None,
            "fake takes a dict of input names to numpy arrays, not NoneType: its inputs are x float32[1, 16]",
        ),
        (
            {1: 0},
            (
                "fake takes a dict of input names to numpy arrays, not a dict with the key 1: "
                "its inputs are x float32[1, 16]"
            ),
        ),
        ({"X": 0}, "fake has no input 'X': its inputs are x float32[1, 16]"),
        ({"xx": 0}, "fake has no input 'xx' (did you mean 'x'?): its inputs are x float32[1, 16]"),
        ({"x": [1]}, "input 'x' of fake is a list: give a numpy array"),
        (
            {"x": np.zeros((1, 16))},
            "input 'x' of fake is float64[1, 16] where the model takes float32[1, 16]",
        ),
        (
            {"x": np.zeros((16,), np.float32)},
            "input 'x' of fake is float32[16] where the model takes float32[1, 16]",
        ),
    ],
)
def test_run_refuses_wrong_feeds(feeds: dict[str, Array], text: str) -> None:
    with fusekit.load(make_bundle()) as model, pytest.raises(UserError) as caught:
        model.run(feeds)
    assert str(caught.value) == text


def test_load_refuses_a_bundle_for_another_machine() -> None:
    with pytest.raises(UserError, match="holds no model.so for this host: compile it with target='host'"):
        fusekit.load(make_bundle(arch="aarch64" if os.uname().machine == "x86_64" else "x86_64"))


def test_load_refuses_a_cpu_that_lacks_features() -> None:
    with pytest.raises(
        UserError, match="^this CPU lacks hovercraft, which fake for host needs: compile it with"
    ):
        fusekit.load(make_bundle(features=("hovercraft",)))


def test_load_refuses_another_abi() -> None:
    with pytest.raises(UserError, match="^bundle fake has ABI 7 where this fusekit has 1: compile it again$"):
        fusekit.load(make_bundle(abi=7))


def test_load_refuses_weights_of_another_size() -> None:
    bundle = make_bundle()
    damaged = bundle.with_file("weights.bin", b"1234")
    with pytest.raises(UserError, match="weights of fake are 4 bytes where the code expects 64"):
        fusekit.load(damaged)


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 2},
        {"symbol": "fk_model_0"},
        {"inputs": ()},
        {"kernels": ()},
        {"arena_bytes": 0},
        {"weights_bytes": 32},
        {"scratch_bytes": 64},
    ],
)
def test_load_refuses_a_manifest_of_another_library(changes: dict[str, Any]) -> None:
    bundle = make_bundle()
    refuses_crossed(replace(bundle, manifest=replace(bundle.manifest, **changes)))


@pytest.mark.parametrize("ends", ["inputs", "outputs"])
@pytest.mark.parametrize("shape", [(1, N // 2), (1, 2 * N)])
def test_load_refuses_a_manifest_of_other_sizes(ends: str, shape: tuple[int, ...]) -> None:
    bundle = make_bundle()
    changed = replace(getattr(bundle.manifest, ends)[0], shape=shape)
    refuses_crossed(replace(bundle, manifest=replace(bundle.manifest, **{ends: (changed,)})))  # type: ignore[arg-type]


def refuses_crossed(bundle: Bundle) -> None:
    with pytest.raises(UserError) as caught:
        fusekit.load(bundle)
    assert str(caught.value) == (
        "manifest.json and model.so of fake do not belong together, one is damaged: compile it again"
    )


@pytest.mark.parametrize("shared", [b"", b"no library", Path("/proc/self/exe").read_bytes()[:300]])
def test_load_refuses_a_library_that_does_not_open(shared: bytes) -> None:
    with pytest.raises(UserError, match=r"^model.so of fake is damaged \(.*\): compile it again$") as caught:
        fusekit.load(make_bundle().with_file("model.so", shared))
    assert "/tmp" not in str(caught.value)


def test_load_refuses_an_object_that_is_none() -> None:
    with pytest.raises(
        UserError, match="^model.o is no object file: the bundle is damaged, compile the model"
    ):
        fusekit.load(make_bundle().with_file("model.o", b"hello"))


def test_run_says_when_the_system_refuses_threads(x: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    with fusekit.load(make_bundle(threads=2)) as model:
        monkeypatch.setattr(model._library, "fk_crew_create", lambda threads, cpus: None)
        model._states.clear()
        with pytest.raises(
            UserError, match=r"^the system refused 2 threads: raise its limit \(ulimit -u\) or compile"
        ):
            model.run({"x": x})


def test_run_refuses_a_closed_model(x: Array) -> None:
    model = fusekit.load(make_bundle())
    model.close()
    with pytest.raises(UserError, match="^model fake is closed: load it again with fusekit.load$"):
        model.run({"x": x})


@pytest.mark.parametrize("threads", [1, 3])
def test_run_profiled_gives_a_time_for_each_step(threads: int, x: Array) -> None:
    with fusekit.load(make_bundle(threads=threads)) as model:
        steps = model.run_profiled({"x": x})
        assert len(steps) == 2
        assert all(ns >= 0 for ns in steps)
        np.testing.assert_array_equal(model.run({"x": x})["y"], right(x))


@pytest.mark.parametrize("threads", [1, 2])
def test_two_models_run_from_several_threads(threads: int) -> None:
    models = [fusekit.load(make_bundle(threads=threads)), fusekit.load(make_bundle(threads=threads))]
    wrong: list[str] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(200):
            x = random.random((1, N), np.float32)
            got = models[seed % 2].run({"x": x})["y"]
            if not np.array_equal(got, right(x)):
                wrong.append(f"thread {seed}")

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    for model in models:
        model.close()
    assert not wrong


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_run_works_in_a_forked_child(x: Array) -> None:
    model = fusekit.load(make_bundle(threads=2))
    model.run({"x": x})
    pid = os.fork()
    if pid == 0:  # the child tells by its exit code
        os._exit(0 if np.array_equal(model.run({"x": x})["y"], right(x)) else 1)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(pid, 9)
        time.sleep(0.01)
    model.close()
    assert os.waitstatus_to_exitcode(ended[1]) == 0


def test_run_costs_at_most_ten_microseconds(x: Array) -> None:
    model: Model = fusekit.load(make_bundle())
    feeds = {"x": x}
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter_ns()
        for _ in range(200):
            model.run(feeds)
        best = min(best, (time.perf_counter_ns() - start) / 200)
    model.close()
    assert best < 10_000, f"{best:.0f} ns a call"
