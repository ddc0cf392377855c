"""Comparisons with other engines: what each engine's process may do, and what is left of it in the records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from fusekit import UserError
from fusekit.toolkit.compare.contest import Terms, take_turns
from fusekit.toolkit.compare.contestant import Contestant
from fusekit.toolkit.compare.engine import Engine, Job
from fusekit.toolkit.compare.lineup import lineup
from fusekit.toolkit.compare.record import (
    EngineRecord,
    Rules,
    read_engine_records,
    write_engine_records,
)
from fusekit.toolkit.compare.session import Subject, compare, pinned, subject_of
from fusekit.toolkit.compare.standing import geometric_mean, standings
from fusekit.toolkit.measure.check import OutputCheck
from fusekit.toolkit.measure.statistics import Speedup

from .fake_bundle import make_bundle, write_model
from .fake_engine import Absent, DyingAt, Refusing, Right, Telling, WrongFrom
from .fake_record import FACTS

RULES = Rules(cpus=(0,), rounds=3, turn_ms=1)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return subject_of("fake", write_model(tmp_path / "fake.onnx"), None, make_bundle(), seed=0)


def by_engine(subject: Subject, engines: Mapping[str, Engine]) -> dict[str, EngineRecord]:
    return {record.engine: record for record in compare(subject, engines, RULES)}


def test_engines_that_are_right_are_timed_in_every_round(subject: Subject) -> None:
    records = by_engine(subject, {"slow": Right(0.002), "telling": Telling()})
    for record in records.values():
        assert record.error is None and record.samples_ns is not None
        assert len(record.samples_ns) == 3 and all(len(ns) >= 3 for ns in record.samples_ns)
        assert record.version.startswith("numpy ") and record.first_output_ns
        assert record.checks[0].ok and record.session == records["slow"].session
    assert min(ns for samples in records["slow"].samples_ns or () for ns in samples) >= 2_000_000


def test_an_engine_that_fails_is_a_record_with_the_reason_and_the_others_go_on(subject: Subject) -> None:
    records = by_engine(
        subject,
        {
            "right": Right(),
            "dead at once": DyingAt(call=0),
            "dead in a turn": DyingAt(call=9),
            "wrong": WrongFrom(call=0),
            "wrong later": WrongFrom(call=4),
            "absent": Absent(),
            "refusing": Refusing(),
            "unconverted": Refusing(by_converter=True),
        },
    )
    assert records["right"].samples_ns is not None
    said = {
        name: (record.error.kind, record.error.message)
        for name, record in records.items()
        if record.error is not None
    }
    died = "its process ended of signal SIGSEGV: engine: out of order"
    assert said["dead at once"] == said["dead in a turn"] == ("crash", died)
    for name in ("wrong", "wrong later"):
        kind, message = said[name]
        assert kind == "check" and message.startswith("output 'y': 16 of 16 elements beyond the limit")
    absent = "the package no_such_engine is not installed: pip install 'fusekit[peers]'"
    assert said["absent"] == ("unavailable", absent)
    refusing = "it cannot run the model: RuntimeError: Mul is not supported"
    assert said["refusing"] == ("unavailable", refusing)
    assert said["unconverted"] == ("unavailable", "its converter failed with exit code 3")
    assert all(records[name].samples_ns is None for name in said) and len(said) == 7


def test_a_worker_is_stopped_outside_its_turns_and_gone_at_the_end(subject: Subject, tmp_path: Path) -> None:
    job = Job(subject.path, None, subject.feeds, ("y",), 1, tmp_path)

    def state() -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    with Contestant(Right(), threads=1) as contestant:
        pid = contestant._process.pid
        contestant.prepare(job, [0])
        while state() in "RS":  # the signal is on its way
            pass
        assert state() == "T"
        assert len(contestant.turn(1)) >= 3
    assert not Path(f"/proc/{pid}").exists()


def test_turns_go_forwards_and_then_backwards() -> None:
    taken: list[str] = []

    class Recording(Contestant):
        def __init__(self, name: str) -> None:
            self.name = name

        def turn(self, turn_ms: int) -> tuple[int, ...]:
            taken.append(self.name)
            return (turn_ms,)

    samples, lost = take_turns({name: Recording(name) for name in "abc"}, Terms((0,), 3, 1))
    assert "".join(taken) == "abccbaabc"
    assert samples["b"] == ((1,), (1,), (1,)) and not lost


def test_pinned_takes_the_cpus_given_or_as_many_as_threads() -> None:
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    assert pinned((), 1) == allowed[:1]
    assert pinned(allowed[::-1], 1) == allowed[::-1]
    with pytest.raises(UserError, match="^--cpus names CPU 4096: this process may use [0-9, ]+$"):
        pinned((4096,), 1)


def test_lineup_starts_with_fusekit_and_knows_its_names() -> None:
    assert list(lineup("basic", ["litert", "fusekit-basic", "litert"])) == ["fusekit-basic", "litert"]
    said = r"^unknown engine 'openvina': did you mean openvino\? engines are onnxruntime, onnxruntime-none, openvino,"
    with pytest.raises(UserError, match=said):
        lineup("full", ["openvina"])


def timed(engine: str, ns: int, session: str = "s") -> EngineRecord:
    check = OutputCheck("y", True, 0.0, 0.0, "")
    samples = tuple(tuple(ns + i for i in range(5)) for _ in range(4))
    return EngineRecord(
        session, "now", "m", "00", engine, "1", "0.1.0", RULES, "ort", FACTS, (check,), None, 1, samples
    )


def test_standing_names_the_fastest_engine_that_is_not_fusekit() -> None:
    records = [timed("fusekit-full", 1000), timed("a", 3000), timed("b", 2000), timed("fusekit-none", 1500)]
    (standing,) = standings(records)
    assert (standing.ours, standing.best) == ("fusekit-full", "b")
    assert standing.ratios["b"].value == pytest.approx(2.0, rel=0.01)
    assert standing.ratios["b"].low <= standing.ratios["b"].value <= standing.ratios["b"].high


def test_geometric_mean_narrows_with_more_models() -> None:
    one = Speedup(2.0, 1.0, 4.0)
    assert geometric_mean([one]).low == pytest.approx(1.0)
    assert geometric_mean([one] * 4).low == pytest.approx(2 / 2**0.5)


def test_records_are_read_as_they_were_written_and_others_refused(tmp_path: Path) -> None:
    records = [timed("fusekit-full", 1000), timed("a", 3000)]
    write_engine_records(tmp_path / "r.jsonl", records)
    assert read_engine_records([tmp_path / "r.jsonl"]) == records
    (tmp_path / "r.jsonl").write_text('{"schema": 1}\n')
    with pytest.raises(UserError, match=r"r.jsonl:1 is no engine record .*make one with fusekit compare$"):
        read_engine_records([tmp_path / "r.jsonl"])
    with pytest.raises(ValueError, match="no check, no number"):
        EngineRecord(**{**vars(records[0]), "checks": ()})


def test_originals_are_found_beside_the_model_or_in_a_folder_there(tmp_path: Path) -> None:
    model = write_model(tmp_path / "fake.onnx")
    bundle = make_bundle()
    assert subject_of("fake", model, None, bundle, 0).tflite is None
    inner = tmp_path / "tflite" / "fake.tflite"
    inner.parent.mkdir()
    inner.touch()
    assert subject_of("fake", model, None, bundle, 0).tflite == inner
    (tmp_path / "fake.tflite").touch()
    assert subject_of("fake", model, None, bundle, 0).tflite == tmp_path / "fake.tflite"
    assert subject_of("fake", model, inner, bundle, 0).tflite == inner
