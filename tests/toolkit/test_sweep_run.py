"""How a plan is done: one job a device at a time, each recipe once, what may pass is tried again, what fails is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from fusekit.devices import DeviceEntry
from fusekit.devices.entry import LocalEntry, SshEntry
from fusekit.errors import UserError
from fusekit.toolkit.measure.record import Failure, Settings
from fusekit.toolkit.sweep.build import CompilerDied
from fusekit.toolkit.sweep.job import Job, Recipe
from fusekit.toolkit.sweep.journal import Ended, Entry, Failed, Journal, Started, read_journal
from fusekit.toolkit.sweep.pool import Measured, PoolLost
from fusekit.toolkit.sweep.progress import Progress, progress_of
from fusekit.toolkit.sweep.run_sweep import Patience, run_sweep

from .fake_record import timed_session

AT_ONCE = Patience(attempts=3, rest_s=0.01, busy_attempts=5, busy_rest_s=0.01)
GOOD = Measured(tuple(timed_session((1,), blocks=1)), (), (), None)


def bad(kind: str) -> Measured:
    return Measured((), (), (), Failure(kind, f"it is {kind}"))


def ssh(name: str) -> SshEntry:
    return SshEntry(name=name, transport="ssh", host="192.0.2.1", user="pi", target="rpi5")


def job(model: str, device: DeviceEntry) -> Job:
    recipe = Recipe(f"{model}.onnx", model, "cortex-a76", ("full",), (1,), True, True, (), 0, "c")
    return Job(recipe, device, Settings())


class ScriptedPool:
    """`answer` says what becomes of a device's job at an attempt, `compiled` what becomes of a model."""

    def __init__(
        self,
        answer: Callable[[str, str, int], Measured | Exception] = lambda *_: GOOD,
        compiled: Callable[[str], Exception | None] = lambda _: None,
        at_once: int = 99,
    ) -> None:
        self.at_once = at_once
        self.built: list[str] = []
        self.released: list[str] = []
        self.running: list[str] = []
        self.together: set[frozenset[str]] = set()
        self._answer = answer
        self._compiled = compiled
        self._attempts: dict[str, int] = {}

    def build(self, recipe: Recipe) -> Future[tuple[str, ...]]:
        self.built.append(recipe.name)
        future: Future[tuple[str, ...]] = Future()
        error = self._compiled(recipe.name)
        if error is None:
            future.set_result((recipe.key,))
        else:
            future.set_exception(error)
        return future

    def measure(self, job: Job) -> Future[Measured]:
        future: Future[Measured] = Future()
        name = job.device.name
        self.running.append(name)
        self.together.add(frozenset(self.running))
        assert len(self.running) == len(set(self.running)) <= self.at_once
        self._attempts[job.key] = attempt = self._attempts.get(job.key, 0) + 1

        def end() -> None:
            answer = self._answer(name, job.recipe.name, attempt)
            self.running.remove(name)
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        threading.Timer(0.005, end).start()
        return future

    def release(self, recipe: Recipe) -> None:
        self.released.append(recipe.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def run(
    folder: Path, plan: Sequence[Job], pool: ScriptedPool, stop: threading.Event | None = None
) -> tuple[Progress, tuple[Entry, ...]]:
    with Journal(folder) as journal:
        run_sweep("rack", plan, (), folder, journal, pool, stop or threading.Event(), AT_ONCE)
    entries = read_journal(folder)
    return progress_of(entries), entries


def test_sweep_compiles_a_recipe_once_and_gives_each_device_one_job_at_a_time(tmp_path: Path) -> None:
    plan = [job(model, ssh(f"pi{n}")) for model in ("a", "b") for n in range(3)]
    two = threading.Barrier(2)

    def answer(device: str, model: str, attempt: int) -> Measured:
        with suppress(threading.BrokenBarrierError):
            two.wait(10)
        return GOOD

    pool = ScriptedPool(answer, at_once=2)
    progress, entries = run(tmp_path, plan, pool)
    assert progress.count("finished") == 6
    assert sorted(pool.built) == sorted(pool.released) == ["a", "b"]
    assert max(map(len, pool.together)) == 2
    assert isinstance(entries[-1], Ended) and not entries[-1].interrupted
    assert len(list(tmp_path.glob("*.jsonl"))) == 6
    models = {job.key: job.recipe.name for job in plan}
    assert [models[entry.key] for entry in entries if isinstance(entry, Started)] == [*"aaabbb"]


def test_sweep_times_this_machine_last_and_alone(tmp_path: Path) -> None:
    here, there = LocalEntry(name="here", transport="local"), LocalEntry(name="there", transport="local")
    plan = [job("a", here), job("a", ssh("pi")), job("b", there), job("b", ssh("pi"))]
    pool = ScriptedPool(
        lambda device, model, attempt: bad("lost") if device == "pi" and attempt < 3 else GOOD
    )
    progress, entries = run(tmp_path, plan, pool)
    assert progress.count("finished") == 4
    assert pool.together == {frozenset({"pi"}), frozenset({"here"}), frozenset({"there"})}
    devices = {job.key: job.device.name for job in plan}
    order = [devices[entry.key] for entry in entries if isinstance(entry, Started)]
    assert order.index("here") > max(place for place, name in enumerate(order) if name == "pi")


@pytest.mark.parametrize(("kind", "attempts"), [("unreachable", 3), ("lost", 3), ("timeout", 3), ("busy", 5)])
def test_sweep_tries_again_what_may_pass_and_then_records_it(
    tmp_path: Path, kind: str, attempts: int
) -> None:
    progress, _ = run(tmp_path, [job("a", ssh("pi"))], ScriptedPool(lambda *_: bad(kind)))
    (only,) = progress.jobs
    assert (only.state, only.attempts, only.failure) == ("failed", attempts, Failure(kind, f"it is {kind}"))


@pytest.mark.parametrize("kind", ["auth", "host_key", "isa", "crash", "check", "disk_full"])
def test_sweep_tries_once_what_does_not_pass(tmp_path: Path, kind: str) -> None:
    progress, _ = run(tmp_path, [job("a", ssh("pi"))], ScriptedPool(lambda *_: bad(kind)))
    assert (progress.jobs[0].state, progress.jobs[0].attempts) == ("failed", 1)


def test_sweep_that_failed_for_a_moment_ends_well(tmp_path: Path) -> None:
    pool = ScriptedPool(lambda device, model, attempt: bad("unreachable") if attempt < 3 else GOOD)
    progress, entries = run(tmp_path, [job("a", ssh("pi"))], pool)
    assert (progress.jobs[0].state, progress.jobs[0].attempts, progress.jobs[0].failure) == (
        "finished",
        3,
        None,
    )
    assert [entry.retry_s for entry in entries if isinstance(entry, Failed)] == [0.01, 0.02]


def test_sweep_gives_a_device_that_was_given_up_one_attempt_a_job(tmp_path: Path) -> None:
    pool = ScriptedPool(lambda device, model, attempt: GOOD if model == "c" else bad("unreachable"))
    progress, _ = run(tmp_path, [job(model, ssh("pi")) for model in "abcd"], pool)
    assert [job.attempts for job in progress.jobs] == [3, 1, 1, 3]


def test_sweep_goes_on_where_a_model_does_not_compile(tmp_path: Path) -> None:
    errors = {"a": UserError("a has no outputs"), "b": CompilerDied("Traceback\nMemoryError"), "c": None}
    pool = ScriptedPool(compiled=errors.__getitem__)
    progress, entries = run(tmp_path, [job(model, ssh("pi")) for model in "abc"], pool)
    assert [(job.state, job.failure) for job in progress.jobs] == [
        ("failed", Failure("compile", "a has no outputs")),
        ("failed", Failure("compile", "MemoryError")),
        ("finished", None),
    ]
    traces = [entry.trace for entry in entries if isinstance(entry, Failed)]
    assert traces[0] is None and traces[1] is not None and "MemoryError" in traces[1]


def test_sweep_records_an_error_of_fusekits_own_with_its_trace(tmp_path: Path) -> None:
    progress, entries = run(tmp_path, [job("a", ssh("pi"))], ScriptedPool(lambda *_: KeyError("w")))
    assert progress.jobs[0].failure == Failure("internal", "KeyError: 'w'")
    failed = next(entry for entry in entries if isinstance(entry, Failed))
    assert failed.trace is not None and failed.trace.endswith("KeyError: 'w'\n")


def test_sweep_that_is_stopped_ends_what_runs_and_begins_nothing(tmp_path: Path) -> None:
    stop = threading.Event()

    def answer(device: str, model: str, attempt: int) -> Measured:
        stop.set()
        return GOOD

    progress, entries = run(tmp_path, [job(model, ssh("pi")) for model in "abc"], ScriptedPool(answer), stop)
    assert progress.count("finished") == 1
    assert entries[-1] == Ended(entries[-1].at, interrupted=True)


def test_sweep_whose_pool_is_lost_says_so_and_can_be_resumed(tmp_path: Path) -> None:
    pool = ScriptedPool(lambda *_: PoolLost("the Dask scheduler is gone"))
    with pytest.raises(PoolLost, match="the Dask scheduler is gone"):
        run(tmp_path, [job("a", ssh("pi"))], pool)
    progress = progress_of(read_journal(tmp_path))
    assert progress.ended is not None and progress.ended.interrupted


def test_sweep_that_is_left_at_once_says_that_it_was_interrupted(tmp_path: Path) -> None:
    class Impatient(ScriptedPool):
        def measure(self, job: Job) -> Future[Measured]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [job("a", ssh("pi"))], Impatient())
    progress = progress_of(read_journal(tmp_path))
    assert progress.ended is not None and progress.ended.interrupted
    assert progress.jobs[0].state == "waiting"


def test_sweep_whose_scheduler_is_gone_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from fusekit.toolkit.sweep import dask_pool

    monkeypatch.setattr(dask_pool, "_connected", lambda address: None)
    pool = dask_pool.DaskPool("tcp://192.0.2.9:8786", lambda entry: pytest.fail("no device is opened"))

    class Gone:
        def scheduler_info(self, n_workers: int) -> None:
            raise OSError("closed")

    pool._client = Gone()
    with pytest.raises(
        PoolLost, match="scheduler at tcp://192.0.2.9:8786 is gone: when there is one again, go on"
    ):
        pool.measure(job("a", ssh("pi")))
