"""Records survive their file, and refuse numbers that nobody checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fusekit import UserError
from fusekit.toolkit.measure.caveat import caveats
from fusekit.toolkit.measure.check import OutputCheck
from fusekit.toolkit.measure.record import Failure, read_records, write_records

from .fake_record import HOST, emulated_record, timed_record, timed_session


def test_records_read_as_written(tmp_path: Path) -> None:
    records = [*timed_session(), emulated_record()]
    write_records(tmp_path / "a" / "r.jsonl", records)
    assert read_records([tmp_path / "a" / "r.jsonl"]) == records
    assert read_records([tmp_path / "a"]) == records
    assert len((tmp_path / "a" / "r.jsonl").read_text().splitlines()) == len(records)


def test_record_refuses_times_under_emulation() -> None:
    with pytest.raises(ValueError, match="times under emulation are no times"):
        replace(emulated_record(), samples_ns=((1, 2),))


@pytest.mark.parametrize(
    "spoiled",
    [
        {"checks": ()},
        {"checks": (OutputCheck("y", False, 1.0, 0.1, "wrong"),)},
        {"error": Failure("lost", "the connection was cut")},
    ],
)
def test_record_refuses_numbers_without_a_check(spoiled: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no check, no number"):
        replace(timed_record(), **spoiled)  # type: ignore[arg-type]


def test_read_records_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    write_records(file, [emulated_record()])
    good = file.read_text()
    file.write_text(good + good.replace('"threads":1', '"threads":"many"'))
    with pytest.raises(
        UserError, match=r"r.jsonl:2 is no run record of schema 1 \(threads: .*make one with fusekit"
    ):
        read_records([file])
    file.write_text(good.replace('"threads":1', '"threads":1,"thraeds":2'))
    with pytest.raises(UserError, match=r"r.jsonl:1 is no run record of schema 1 \(thraeds"):
        read_records([file])
    file.write_text(good.replace('"schema":1', '"schema":9'))
    with pytest.raises(
        UserError, match="r.jsonl:1 has schema 9 where this fusekit reads 1: run fusekit bench again"
    ):
        read_records([file])


def test_read_records_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="cannot read records from .*nothing.jsonl: No such file or directory"
    ):
        read_records([tmp_path / "nothing.jsonl"])
    with pytest.raises(
        UserError, match="^no records in .*: make some with fusekit bench MODEL --device local$"
    ):
        read_records([tmp_path])
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot read records from .*binary.jsonl: it is not text"):
        read_records([tmp_path])


def test_caveats_say_what_may_have_moved() -> None:
    restless = replace(
        timed_record(threads=8),
        host_before=replace(HOST, governor="ondemand", load1=3.5),
        host_after=replace(HOST, freq_khz=1_500_000, temp_mc=85_000, throttled="50005"),
    )
    assert caveats([restless, restless]) == [
        "rpi5: the CPU governor is 'ondemand', not 'performance': the clock may move.",
        "rpi5: the clock moved from 2400 to 1500 MHz.",
        "rpi5: the firmware reports throttling (bits 50005).",
        "rpi5: the CPU was at 85 °C after the runs.",
        "rpi5: other programs were running (a load of more than half of its CPUs).",
        "rpi5: 8 threads shared 4 CPUs.",
    ]
    assert caveats([replace(timed_record(), host_before=replace(HOST, governor=None))]) == [
        "rpi5: the CPU governor is not visible, so the clock may have moved unseen."
    ]
    assert caveats([timed_record(), emulated_record()]) == []
