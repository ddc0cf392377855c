"""The SSH device against a real sshd in front of an emulated aarch64 system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fusekit.devices import Device, DeviceError, load_inventory, open_device

from ..devices.tiny_program import SDOT, SMMLA, exit_program
from .fixtures import LabDevice

SCRIPT = b"#!/bin/sh\n"


@pytest.fixture
def device(pi5: LabDevice) -> Iterator[Device]:
    with open_device(load_inventory(pi5.inventory).entry(pi5.name)) as device:
        yield device
        device.clean()


def runs(pi5: LabDevice) -> Path:
    return pi5.board.home / ".cache" / "fusekit" / "runs"


def test_probe_shows_a_pi5(device: Device) -> None:
    facts = device.probe()
    assert (facts.arch, facts.n_cpus, facts.cpu_parts) == ("aarch64", 4, ("0xd0b",))
    assert facts.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert (facts.governor, facts.max_freq_khz, facts.temperature_mc) == ("ondemand", 2_400_000, 48_250)


def test_put_run_get_and_clean_leave_nothing(device: Device, pi5: LabDevice) -> None:
    files = {
        "runner": SCRIPT + b'uname -m; echo "$1" >&2; echo made > out.txt; exit 7\n',
        "weights.bin": bytes(3_000_000),
    }
    folder = device.put(files)
    done = device.run(["./runner", "it's $HOME; a 'b'"], cwd=folder, timeout_s=20)
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"aarch64\n", b"it's $HOME; a 'b'\n")
    assert device.get(f"{folder}/out.txt", 100) == b"made\n"
    assert device.clean() == 3
    assert device.clean() == 0
    assert list((pi5.board.home / ".cache").iterdir()) == []


def test_put_sends_only_what_is_not_there(device: Device, pi5: LabDevice) -> None:
    first = device.put({"runner": SCRIPT, "weights.bin": b"w" * 100_000})
    again = device.put({"runner": SCRIPT, "weights.bin": b"w" * 100_000})
    assert again == first
    other = device.put({"runner": SCRIPT + b"true\n", "weights.bin": b"w" * 100_000})
    assert other != first
    weights = [folder / "weights.bin" for folder in runs(pi5).iterdir()]
    assert len(weights) == 2
    assert weights[0].samefile(weights[1])


def test_put_repairs_a_damaged_file(device: Device, pi5: LabDevice) -> None:
    files = {"runner": SCRIPT, "weights.bin": b"w" * 1000}
    folder = device.put(files)
    (runs(pi5) / Path(folder).name / "weights.bin").write_bytes(b"v" * 1000)
    assert device.put(files) == folder
    assert device.get(f"{folder}/weights.bin", 1000) == b"w" * 1000


def test_put_refuses_a_program_for_another_architecture(device: Device, pi5: LabDevice) -> None:
    x86_64 = bytes.fromhex("7f454c46020101" + 9 * "00" + "02003e00") + bytes(44)
    with pytest.raises(DeviceError) as caught:
        device.put({"runner": x86_64})
    assert caught.value.kind == "isa"
    assert str(caught.value) == (
        "runner is built for x86_64, but lab-pi5 is aarch64: is its `target` in the inventory, rpi5, right?"
    )
    assert list(runs(pi5).iterdir()) == []


def test_get_of_an_absent_or_too_large_file(device: Device) -> None:
    folder = device.put({"data.bin": bytes(100)})
    with pytest.raises(DeviceError, match=r"^lab-pi5 has no file .*/absent$") as absent:
        device.get(f"{folder}/absent", 10)
    assert absent.value.kind == "missing_file"
    with pytest.raises(DeviceError, match=r"^.*/data.bin on lab-pi5 is larger than 99 bytes$") as large:
        device.get(f"{folder}/data.bin", 99)
    assert large.value.kind == "too_large"
    assert device.get(f"{folder}/data.bin", 100) == bytes(100)


def test_run_of_an_absent_program_or_folder(device: Device) -> None:
    folder = device.put({"data.bin": b""})
    with pytest.raises(DeviceError, match=r"^lab-pi5 has no program \./runner in /home/pi/") as program:
        device.run(["./runner"], cwd=folder, timeout_s=10)
    assert program.value.kind == "missing_file"
    with pytest.raises(DeviceError, match=r"^lab-pi5 has no folder /nowhere$") as absent:
        device.run(["./runner"], cwd="/nowhere", timeout_s=10)
    assert absent.value.kind == "missing_file"


def test_clean_keeps_what_is_not_fusekits(device: Device, pi5: LabDevice) -> None:
    device.put({"data.bin": b"x"})
    mine = runs(pi5) / "notes.txt"
    mine.write_text("mine")
    assert device.clean() == 1
    assert [path.name for path in runs(pi5).iterdir()] == ["notes.txt"]
    mine.unlink()


def test_aarch64_program_runs_and_an_unknown_instruction_is_trapped(device: Device) -> None:
    folder = device.put({"runner": exit_program(42, SDOT)})
    assert device.run(["./runner"], cwd=folder, timeout_s=20).exit_code == 42
    folder = device.put({"runner": exit_program(0, SMMLA)})
    with pytest.raises(DeviceError, match=r"^\./runner on lab-pi5 died of SIGILL") as caught:
        device.run(["./runner"], cwd=folder, timeout_s=20)
    assert caught.value.kind == "crash"
