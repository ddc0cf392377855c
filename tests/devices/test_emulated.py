from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fusekit.devices import DeviceError
from fusekit.devices.emulated import CPU_OF_TARGET, EmulatedDevice

from .tiny_program import SDOT, SMMLA, crash_program, exit_program

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-aarch64") is None and shutil.which("qemu-aarch64-static") is None,
    reason="qemu-aarch64 is not installed (apt-get install qemu-user)",
)


@needs_qemu
def test_aarch64_program_runs(tmp_path: Path) -> None:
    device = EmulatedDevice("emulated", "rpi5", tmp_path)
    assert device.emulated
    folder = device.put({"runner": exit_program(42, SDOT)})
    assert device.run(["./runner"], cwd=folder, timeout_s=20).exit_code == 42


@needs_qemu
@pytest.mark.parametrize(("target", "instruction"), [("rpi4", SDOT), ("rpi5", SMMLA), ("cortex-a72", SDOT)])
def test_instruction_that_the_board_lacks_is_trapped(tmp_path: Path, target: str, instruction: int) -> None:
    device = EmulatedDevice("emulated", target, tmp_path)
    folder = device.put({"runner": exit_program(0, instruction)})
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=20)
    assert caught.value.kind == "crash"
    assert str(caught.value) == (
        "./runner on emulated died of SIGILL: it met an instruction that this CPU does not have: is the device's "
        "`target` right?"
    )


@needs_qemu
def test_crash_is_named(tmp_path: Path) -> None:
    device = EmulatedDevice("emulated", "rpi5", tmp_path)
    folder = device.put({"runner": crash_program()})
    with pytest.raises(DeviceError, match=r"^\./runner on emulated died of SIGSEGV"):
        device.run(["./runner"], cwd=folder, timeout_s=20)


def test_other_programs_run_as_they_are(tmp_path: Path) -> None:
    device = EmulatedDevice("emulated", "rpi5", tmp_path)
    folder = device.put({"runner": b"#!/bin/sh\nexit 5\n"})
    assert device.run(["./runner"], cwd=folder, timeout_s=20).exit_code == 5


def test_probe_describes_the_emulated_cpu(tmp_path: Path) -> None:
    facts = EmulatedDevice("emulated", "rpi4", tmp_path).probe()
    assert (facts.arch, facts.cpu_parts, facts.model) == ("aarch64", ("0xd08",), "QEMU cortex-a72 (emulated)")
    assert "asimddp" not in facts.features
    assert facts.freq_khz is None


def test_unknown_target_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(DeviceError) as caught:
        EmulatedDevice("emulated", "rpi55", tmp_path)
    assert str(caught.value) == (
        "emulated cannot emulate the target 'rpi55': did you mean 'rpi5'? known are "
        + ", ".join(CPU_OF_TARGET)
    )


def test_absent_emulator_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = EmulatedDevice("emulated", "rpi5", tmp_path)
    folder = device.put({"runner": exit_program(0)})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=20)
    assert caught.value.kind == "missing_tool"
    assert str(caught.value) == (
        "emulated needs the emulator qemu-aarch64, which is not installed: type `apt-get install qemu-user` as root"
    )
