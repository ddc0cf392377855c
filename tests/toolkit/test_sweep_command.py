"""`fusekit sweep`, `watch` and the fleet's pages of `report`: what they print, draw and exit with."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.image import imread
from pypdf import PdfReader

from fusekit.devices import Device, DeviceEntry, open_device
from fusekit.devices.device import DeviceError
from fusekit.toolkit.cli import main
from fusekit.toolkit.measure.record import Failure
from fusekit.toolkit.measure.statistics import Estimate, Speedup
from fusekit.toolkit.report.write_report import write_report
from fusekit.toolkit.sweep.journal import Finished, Journal, PlannedJob, read_journal
from fusekit.toolkit.sweep.progress import JobProgress, Progress, State
from fusekit.toolkit.sweep.result import Result, mean_gain

from .fake_bundle import write_model
from .fake_device import FakeDevice
from .fake_record import timed_session

Run = Callable[..., tuple[int, str, str]]

INVENTORY = """
devices:
  here: {transport: local}
  board: {transport: ssh, host: 192.0.2.1, user: pi, target: rpi5}
"""
SWEEP = "models: tiny.onnx\ndevices: all\nfusion: [none, full]\nrounds: 2\nround_ms: 2\n"
REFUSED = DeviceError("auth", "board refuses the key of pi: type ssh-copy-id pi@192.0.2.1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in a folder with a sweep whose board refuses; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "180")
    monkeypatch.setattr("fusekit.toolkit.cli.sweep.open_device", half_reached)
    write_model(tmp_path / "tiny.onnx")
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    (tmp_path / "rack.yaml").write_text(SWEEP)

    def call(*argv: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(part) for part in argv])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return call


def half_reached(entry: DeviceEntry) -> Device:
    return open_device(entry) if entry.name == "here" else FakeDevice(lambda _: [], {}, dies=REFUSED)


def test_sweep_is_measured_watched_reported_and_resumed(run: Run, tmp_path: Path) -> None:
    code, out, err = run("sweep", "rack.yaml")
    assert code == 1
    assert "rack: 1 of 2 done, 1 failed, ended" in out
    assert "auth tiny: board refuses the key of pi" in out
    assert "board: tiny: auth: board refuses" in err and "here: tiny: done" in err
    assert "for the rest: fusekit sweep rack.yaml --resume" in err

    code, out, _ = run("watch", "reports/sweeps/rack", "--once")
    assert code == 0 and "rack: 1 of 2 done, 1 failed, ended" in out and "here" in out

    code, _, err = run("sweep", "rack.yaml")
    assert code == 2
    assert "reports/sweeps/rack holds a sweep with 1 of 2 jobs done: go on with it with --resume" in err

    folder = tmp_path / "reports" / "sweeps" / "rack"
    assert run("sweep", "rack.yaml", "--resume")[0] == 1
    assert sum(isinstance(entry, Finished) for entry in read_journal(folder)) == 1

    assert run("report", folder, "-o", "rack.pdf")[0] == 0
    text = text_of(tmp_path / "rack.pdf")
    assert "sweep rack · 1 model on 2 devices · 1 of 2 measurements done · 1 failed" in text
    assert "What failed" in text and "board refuses the key of pi" in text
    assert "What fusion bought" in text  # the pages of the one session


def test_sweep_of_records_that_are_gone_measures_them_again(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rack.yaml").write_text(SWEEP.replace("all", "here"))
    assert run("sweep", "rack.yaml", "-o", "out")[0] == 0
    (records,) = (tmp_path / "out").glob("*.jsonl")
    records.unlink()
    assert run("sweep", "rack.yaml", "-o", "out", "--resume")[0] == 0
    assert records.is_file()


def test_sweep_ends_well_at_ctrl_c(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rack.yaml").write_text(SWEEP.replace("all", "board") + "bands: [on, off]\n")

    def interrupted(entry: DeviceEntry) -> Device:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)  # until the main thread has seen it
        return FakeDevice(lambda _: [], {}, dies=REFUSED)

    monkeypatch.setattr("fusekit.toolkit.cli.sweep.open_device", interrupted)
    code, out, err = run("sweep", "rack.yaml")
    assert code == 1
    assert "rack: 0 of 2 done" in out and "1 failed, interrupted" in out
    assert "waiting for what is being measured; Ctrl-C again leaves at once" in err
    assert "for the rest: fusekit sweep rack.yaml --resume" in err


def test_sweep_in_a_folder_that_another_runs_says_so(run: Run, tmp_path: Path) -> None:
    with Journal(tmp_path / "out"):
        code, _, err = run("sweep", "rack.yaml", "-o", "out")
    assert (
        code == 2
        and "another process is running the sweep in out: look at it with `fusekit watch out`" in err
    )


def test_sweep_without_a_scheduler_there_says_what_to_start(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("fusekit.toolkit.sweep.dask_pool.CONNECT_TIMEOUT_S", 0.5)
    code, _, err = run("sweep", "rack.yaml", "--scheduler", "tcp://127.0.0.1:9")
    assert code == 2 and "no Dask scheduler answers at tcp://127.0.0.1:9" in err
    assert "start one with `dask scheduler`" in err


def text_of(path: Path) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def fleet(devices: int, models: Sequence[str], result: Callable[[int], Result]) -> Progress:
    """A sweep whose second job failed and whose third is not done."""
    states: dict[int, State] = {1: "failed", 2: "waiting"}
    jobs = []
    for number, (model, device) in enumerate((model, d) for model in models for d in range(devices)):
        state = states.get(number, "finished")
        jobs.append(
            JobProgress(
                PlannedJob(f"{number:x}", model, f"pi-{device:03}", "r"),
                state,
                results=(result(number),) if state == "finished" else (),
                caveats=(f"pi-{device:03}: the clock moved.",) if state == "finished" else (),
                failure=Failure("unreachable", "pi-001 does not answer: is it on?")
                if state == "failed"
                else None,
            )
        )
    return Progress("rack", tuple(jobs), None)


def timed(number: int) -> Result:
    gain = 1.5 + number % 7 / 10
    return Result(1, "full", Estimate(2e6, 1.9e6, 2.1e6), Speedup(gain, gain - 0.1, gain + 0.1))


@pytest.mark.parametrize(("devices", "pages"), [(4, 2), (128, 5)])
def test_fleet_of_any_size_has_every_device_and_every_failure(
    tmp_path: Path, devices: int, pages: int
) -> None:
    sweep = fleet(devices, ["net_a", "net_b"], timed)
    (path,) = write_report([], tmp_path / "r.pdf", sweep=sweep)
    text = text_of(path)
    assert len(PdfReader(path).pages) == pages
    for number in range(devices):
        assert f"pi-{number:03}" in text
    for said in (
        "Speed-up of full fusion over none, 1 thread",
        "Speed-up of full fusion over none, by device",
        "Time of the most fused level, 1 thread",
        f"{2 * devices - 2} of {2 * devices} measurements done · 1 failed · 1 not yet done",
        "pi-001 does not answer: is it on?",
        "not measured yet",
        "the clock moved.",
        "1.50×",
        "2.00 ms",
    ):
        assert said in text


def test_fleet_of_emulated_devices_shows_no_time_and_no_gain(tmp_path: Path) -> None:
    sweep = fleet(3, ["net"], lambda _: Result(1, "full", None, None))
    text = text_of(write_report([], tmp_path / "r.pdf", sweep=sweep)[0])
    assert "right" in text and "nothing was timed" in text
    assert "×" not in text and " ms" not in text


def test_fleet_claims_nothing_where_there_is_no_difference(tmp_path: Path) -> None:
    same = Result(1, "full", Estimate(2e6, 1.9e6, 2.1e6), Speedup(1.1, 0.9, 1.3))
    path = write_report([], tmp_path / "r.pdf", png=True, sweep=fleet(3, ["net"], lambda _: same))[1]
    page = imread(path)[..., :3]
    blue = (page[..., 2] - page[..., 0] > 0.3).mean()
    assert blue < 0.001  # a claim is a filled cell


def test_records_of_three_devices_have_the_pages_of_a_fleet(tmp_path: Path) -> None:
    records = [
        replace(record, device=replace(record.device, name=name))
        for name in ("pi-a", "pi-b", "pi-c")
        for record in timed_session((1,), blocks=2, session=name)
    ]
    text = text_of(write_report(records, tmp_path / "r.pdf")[0])
    assert "by device" in text and "What fusion bought" in text


def test_mean_gain_is_geometric_and_narrower_than_its_parts() -> None:
    mean = mean_gain([Speedup(2.0, 1.8, 2.2), Speedup(0.5, 0.45, 0.55)])
    assert mean.value == pytest.approx(1.0)
    assert 0.9 < mean.low < 1 < mean.high < 1.1
