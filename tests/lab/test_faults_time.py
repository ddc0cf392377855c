"""Two who want one board, clocks that jump, and a board that is not the one it was."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fusekit.compiler.bundle import Bundle
from fusekit.devices import Device
from fusekit.toolkit.measure.record import RunRecord, Settings
from fusekit.toolkit.measure.session import measure
from fusekit.toolkit.reference import reference_outputs, seeded_inputs

from ..toolkit.fake_bundle import make_bundle, write_model
from .fault_bench import SCRIPT, FaultBench, bench, error_of, left_behind, replaced
from .fixtures import Lab

__all__ = ["bench"]

QUICK = Settings(warmup=1, rounds=2, round_ms=2, profile=3)


def measured(device: Device, folder: Path, bundles: Sequence[Bundle]) -> list[RunRecord]:
    feeds = seeded_inputs(bundles[0].manifest)
    model = write_model(folder / "fake.onnx")
    with device:
        return measure(device, bundles, feeds, reference_outputs(model, feeds), QUICK)


def test_two_sweeps_on_one_board_take_turns(bench: FaultBench) -> None:
    bundles = [make_bundle(arch="aarch64", fusion=level) for level in ("none", "full")]
    entry = bench.reach()
    records: list[RunRecord] = []

    def sweep(device: Device) -> None:
        records.extend(measured(device, bench.folder, bundles))

    sweeps = [threading.Thread(target=sweep, args=(device,)) for device in (entry, bench.reach())]
    for one in sweeps:
        one.start()
    for one in sweeps:
        one.join()
    assert [record.error for record in records] == [None] * 4
    assert len({record.session for record in records}) == 2
    with bench.reach() as device:
        assert device.locked() is None
        device.clean()


def test_a_sweep_that_finds_the_board_taken_says_by_whom_and_runs_nothing(bench: FaultBench) -> None:
    bench.monkeypatch.setattr("fusekit.toolkit.measure.session.TURN_WAIT_S", 0.2)
    bundles = [make_bundle(arch="aarch64")]
    with bench.reach() as other, other.lock("ana at desk (bench, process 7)", for_s=60):
        (record,) = measured(bench.reach(), bench.folder, bundles)
        assert record.error is not None and record.error.kind == "busy"
        assert re.sub(r"\d\d:\d\d:\d\d", "TIME", record.error.message) == (
            "lab-pi5 is in use by ana at desk (bench, process 7) since TIME, until TIME at the latest and stayed so for "
            "0.2 s: wait, or, if nothing of it is running any more, type `fusekit devices unlock lab-pi5`"
        )
        assert left_behind(bench.board) == ["lock"]
        with bench.reach() as device:
            assert error_of(device.clean).kind == "busy"
        removed = other.unlock()
        assert removed is not None and removed.owner == "ana at desk (bench, process 7)"
    with bench.reach() as device:
        device.clean()


@pytest.mark.parametrize("date", [0, 4_000_000_000])
def test_a_clock_that_jumps_on_the_board_neither_frees_nor_keeps_it(bench: FaultBench, date: int) -> None:
    uptime = bench.board.root / "proc" / "uptime"
    before = uptime.read_bytes() if uptime.exists() else None
    uptime.write_text("1000.50 900.00\n")
    try:
        with bench.reach() as one, bench.reach() as two, one.lock("one", for_s=60):
            with replaced(bench.board, "date", f"echo {date}"):
                uptime.write_text("1059.99 900.00\n")
                assert error_of(two.lock("two", for_s=60).__enter__).kind == "busy"
                uptime.write_text("1060.00 900.00\n")
                with two.lock("two", for_s=60):
                    pass
            two.clean()
    finally:
        if before is None:
            uptime.unlink()
        else:
            uptime.write_bytes(before)


def test_a_clock_that_jumps_here_loses_no_upload_and_no_lock(bench: FaultBench) -> None:
    real = time.time
    with bench.reach() as device, device.lock("me", for_s=60):
        bench.monkeypatch.setattr(time, "time", lambda: real() + 1e8)
        folder = device.put({"runner": SCRIPT})
        bench.monkeypatch.setattr(time, "time", lambda: real() - 1e8)
        assert device.put({"runner": SCRIPT}) == folder
        assert device.locked() is not None
        os.utime(bench.board.home / ".cache/fusekit/runs" / Path(folder).name / "runner", (9e9, 9e9))
        assert device.run(["./runner"], cwd=folder, timeout_s=60).exit_code == 0
        device.unlock()
        device.clean()


def test_another_cpu_behind_the_same_key_is_refused_before_anything_runs(lab: Lab, bench: FaultBench) -> None:
    bundle = make_bundle(arch="aarch64", features=("asimddp",))
    (record,) = measured(bench.reach(), bench.folder, [bundle])
    assert record.error is None
    swapped = lab.board("swapped", cpu="cortex-a72")
    (record,) = measured(bench.reach(swapped), bench.folder, [bundle])
    assert record.error is not None
    assert record.error.kind == "isa"
    assert record.error.message == f"this CPU lacks asimddp, which {bundle.manifest.symbol} needs"
    assert not record.verified
    for board in (bench.board, swapped):
        with bench.reach(board) as device:
            device.clean()
        assert left_behind(board) == []
