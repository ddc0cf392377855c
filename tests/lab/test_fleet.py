"""A lab as its user has it: up, a fleet swept and reported, down, and nothing left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from pypdf import PdfReader

from fusekit import UserError
from fusekit.devices import load_inventory, open_device
from fusekit.toolkit.cli import main
from fusekit.toolkit.lab.lab import find_lab, lab_up
from fusekit.toolkit.lab.process import Process
from fusekit.toolkit.measure.record import read_records
from fusekit.toolkit.zoo.net import Net

from .board import ADDRESS
from .fixtures import Lab

CPUS = ("cortex-a76", "cortex-a72", "cortex-a53")
LEVELS = ("none", "basic", "full")


@pytest.fixture
def folder(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a lab may be; it is taken down afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    yield tmp_path / "lab"
    if (tmp_path / "lab").exists():
        find_lab(tmp_path / "lab").down()


def fusekit(*argv: object) -> None:
    """Runs the command line, which must end well."""
    try:
        main([str(part) for part in argv])
    except SystemExit as ended:
        assert not ended.code


def lab_up_elsewhere(count: int) -> subprocess.Popen[bytes]:
    """`fusekit lab up` in a process of its own."""
    command = f"from fusekit.toolkit.cli import main; main(['lab', 'up', '--count', '{count}'])"
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", command], env={**os.environ, "PYTHONPATH": str(root)})


def wait_until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def processes_that_name(folder: Path) -> list[str]:
    """Those with a path of the folder on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (process / "cmdline").read_bytes():
                found.append(process.name)
    return found


def write_models(folder: Path) -> Sequence[Path]:
    return [write(folder / f"{write.__name__}.onnx") for write in (tiny_convolutions, tiny_perceptron)]


def tiny_convolutions(path: Path) -> Path:
    net = Net("tiny_convolutions", seed=1)
    x = net.relu(net.conv_norm("input", "wide", (3, 16), 3), "wide.relu")
    x = net.relu(net.conv_norm(x, "depthwise", (16, 16), 3, group=16), "depthwise.relu")
    net.add("GlobalAveragePool", [x], "output")
    onnx.save(net.model({"input": (1, 3, 16, 16)}, {"output": (1, 16, 1, 1)}), path)
    return path


def tiny_perceptron(path: Path) -> Path:
    net = Net("tiny_perceptron", seed=2)
    x = net.relu(net.dense("input", "hidden", (40, 24)), "hidden.relu")
    net.add("Softmax", [net.dense(x, "logits", (24, 10))], "output", axis=1)
    onnx.save(net.model({"input": (1, 40)}, {"output": (1, 10)}), path)
    return path


def test_eight_boards_of_three_kinds_are_swept_at_once_and_reported(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fusekit("lab", "up", "--count", 8, "--cpu", ",".join(CPUS))
    assert "running: 3 x cortex-a76, 3 x cortex-a72, 2 x cortex-a53" in capsys.readouterr().out
    models = write_models(folder.parent)
    Path("sweep.yaml").write_text(
        json.dumps({"models": [str(model) for model in models], "devices": ["tag:lab"], "fusion": LEVELS})
    )
    fusekit("sweep", "sweep.yaml", "--inventory", "lab/lab.yaml", "--jobs", 8, "-o", "swept")
    records = read_records([Path("swept")])
    boards = find_lab(folder).boards
    assert sorted((record.model, record.device.name, record.fusion) for record in records) == sorted(
        (model.stem, board.name, level) for model in models for board in boards for level in LEVELS
    )
    looks = {
        "cortex-a76": ("Raspberry Pi 5 Model B Rev 1.0", ("0xd0b",)),
        "cortex-a72": ("Raspberry Pi 4 Model B Rev 1.4", ("0xd08",)),
        "cortex-a53": ("Raspberry Pi 3 Model B Rev 1.2", ("0xd03",)),
    }
    for record in records:
        assert record.verified and record.samples_ns is None and record.facts is not None
        assert (record.facts.model, record.facts.cpu_parts) == looks[record.target]
    fusekit("report", "swept", "-o", "fleet.pdf")
    text = "\n".join(page.extract_text() for page in PdfReader("fleet.pdf").pages)
    assert all(board.name in text for board in boards)
    fusekit("lab", "down")
    assert not folder.exists()


def test_lab_outlives_the_command_that_started_it_and_goes_down_whole(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab_up_elsewhere(2).wait(120) == 0
    lab = find_lab(folder)
    (folder / "mine.txt").write_text("mine")
    processes = [Process.read(folder / "boards" / board.name / "process") for board in lab.boards]
    assert [process is not None and process.runs for process in processes] == [True, True]
    entry = load_inventory(lab.inventory).entry("lab-a76-2")
    with open_device(entry) as device:
        facts = device.probe()
        assert (facts.arch, facts.model) == ("aarch64", "Raspberry Pi 5 Model B Rev 1.0")
        with pytest.raises(
            UserError, match=r"has a lab of 2 boards already, of which 2 run: type `fusekit lab"
        ):
            lab_up(folder, CPUS, 1)
        fusekit("lab", "down")
    assert "2 of 2 boards ended" in capsys.readouterr().out
    assert not any(process is not None and process.runs for process in processes)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    (folder / "mine.txt").unlink()
    folder.rmdir()


@pytest.mark.parametrize("sign", ["process", "launch.log"])
def test_lab_whose_start_was_killed_goes_down_whole(folder: Path, sign: str) -> None:
    """Also a board that was launched and not yet on record."""
    starting = lab_up_elsewhere(6)
    wait_until(lambda: len(list(folder.glob(f"boards/*/{sign}"))) >= 2)
    starting.kill()
    starting.wait()
    fusekit("lab", "down")
    assert not folder.exists()
    wait_until(lambda: not processes_that_name(folder))


def test_lab_after_a_reboot_has_ended_boards_and_its_pids_are_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = lab_up(folder, CPUS, 1)
    pid_file = folder / "boards/lab-a76-1/process"
    process = Process.read(pid_file)
    assert process is not None
    stat, boot = pid_file.read_text().splitlines()
    for stale in (f"{stat}\nanother-boot", stat.replace(str(process.start_ticks), "1") + f"\n{boot}"):
        pid_file.write_text(stale)
        assert not lab.runs(lab.boards[0])
    fusekit("lab", "status")
    assert "ended" in capsys.readouterr().out
    assert lab.down() == 0
    assert process.runs and not folder.exists()
    process.end()
    assert not process.runs


def test_lab_of_sudo_is_for_who_typed_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.setenv("SUDO_GID", "1000")
    lab = lab_up(folder, CPUS, 1)
    for path in (folder, lab.inventory, folder / "id_ed25519"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1000, 1000)


def test_lab_that_cannot_start_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((ADDRESS, 0)) as occupied:
        port = occupied.getsockname()[1]
        monkeypatch.setattr("fusekit.toolkit.lab.lab.free_port", lambda taken: port)
        with pytest.raises(UserError, match="Cannot bind any address"):
            lab_up(folder, CPUS, 2)
    assert not folder.exists()


def test_folder_without_a_lab(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        find_lab(folder)
    assert str(caught.value) == (
        f"there is no lab in {folder}: type `fusekit lab up`, or give the --folder of one"
    )


def test_cpu_of_no_board(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        lab_up(folder, ["cortex-a77"], 1)
    assert str(caught.value) == (
        "the lab has no board with the CPU 'cortex-a77': did you mean 'cortex-a76'? known are cortex-a53, cortex-a72, "
        "cortex-a76"
    )
    assert not folder.exists()


def test_folder_that_cannot_be_made(folder: Path) -> None:
    file = folder.with_name("file")
    file.touch()
    with pytest.raises(UserError) as caught:
        lab_up(file, CPUS, 1)
    assert str(caught.value) == f"{file} cannot hold a lab (File exists): give another --folder"


@pytest.mark.parametrize("text", ["{", "[]", '[{"name": "../x", "cpu": "cortex-a76", "port": 1}]'])
def test_damaged_record_removes_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(UserError) as caught:
        find_lab(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/lab.json is damaged: end the boards yourself (their pids are in {tmp_path}/boards/*/process) and "
        f"remove {tmp_path}"
    )
