from __future__ import annotations

import errno
import os
import platform
import time
from pathlib import Path

import pytest

from fusekit.devices import Device, DeviceError
from fusekit.devices.local import LocalDevice

from .tiny_program import exit_program

SCRIPT = b"#!/bin/sh\n"


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return LocalDevice("here", "host", tmp_path / "work")


def test_put_run_get_and_clean(device: Device, tmp_path: Path) -> None:
    files = {
        "runner": SCRIPT + b'cat data.bin; echo "$1" >&2; echo made > out.txt; exit 7\n',
        "data.bin": b"x",
    }
    folder = device.put(files)
    assert device.put(dict(reversed(files.items()))) == folder
    done = device.run(["./runner", "a b"], cwd=folder, timeout_s=20)
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"x", b"a b\n")
    assert device.get(f"{folder}/out.txt", 10) == b"made\n"
    assert device.clean() == 3
    assert list(tmp_path.iterdir()) == []


def test_put_repairs_a_damaged_file(device: Device) -> None:
    folder = Path(device.put({"data.bin": b"right"}))
    (folder / "data.bin").write_bytes(b"wrong")
    assert device.put({"data.bin": b"right"}) == str(folder)
    assert (folder / "data.bin").read_bytes() == b"right"


def test_put_removes_what_a_dead_process_left(device: Device, tmp_path: Path) -> None:
    runs = tmp_path / "work" / "runs"
    dead, alive = runs / f"{'0' * 16}.999999999.part", runs / f"{'0' * 16}.{os.getppid()}.part"
    dead.mkdir(parents=True)
    alive.mkdir()
    device.put({"data.bin": b""})
    assert not dead.exists()
    assert alive.exists()


def test_put_refuses_a_name_with_a_folder(device: Device) -> None:
    with pytest.raises(ValueError, match="'../x' is not a plain file name"):
        device.put({"../x": b""})


@pytest.mark.parametrize(
    ("number", "kind", "sentence"),
    [
        (
            errno.ENOSPC,
            "disk_full",
            "the disk of here is full at {runs}: free some space, or type `fusekit devices clean here`",
        ),
        (errno.EROFS, "read_only", "here cannot write to {runs}: Read-only file system"),
    ],
)
def test_put_that_cannot_write_leaves_nothing(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str, sentence: str
) -> None:
    def fail(path: Path, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DeviceError) as caught:
        device.put({"data.bin": b"x"})
    runs = tmp_path / "work" / "runs"
    assert caught.value.kind == kind
    assert str(caught.value) == sentence.format(runs=runs)
    assert list(runs.iterdir()) == []


def test_put_that_is_not_what_was_written(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"other")
    with pytest.raises(DeviceError, match=r"\.part on here does not hold what was written to it$") as caught:
        device.put({"data.bin": b"x"})
    assert caught.value.kind == "corrupt"


def test_program_past_its_limit_is_ended_with_its_children(device: Device) -> None:
    folder = device.put({"runner": SCRIPT + b"echo so far; sleep 30 & echo $! > pid; wait\n"})
    start = time.monotonic()
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=0.5)
    assert time.monotonic() - start < 10
    assert caught.value.kind == "timeout"
    assert str(caught.value) == "./runner on here was still running after 0.5 s and was ended"
    assert caught.value.completed is not None
    assert caught.value.completed.stdout == b"so far\n"
    child = Path(f"/proc/{int(device.get(f'{folder}/pid', 100))}")
    assert _ends(child)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_program_that_writes_without_end_is_ended(
    device: Device, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setattr("fusekit.devices.local.OUTPUT_BYTES", 1_000_000)
    folder = device.put({"runner": SCRIPT + f"exec cat /dev/zero >&{stream}\n".encode()})
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=60)
    assert caught.value.kind == "too_large"
    assert str(caught.value) == "./runner on here wrote more than 1000000 bytes and was ended"


def test_links_in_the_place_of_a_run_are_not_followed(device: Device, tmp_path: Path) -> None:
    put = Path(device.put({"runner": SCRIPT}))
    elsewhere = tmp_path / "elsewhere"
    put.rename(elsewhere)
    put.symlink_to(elsewhere)
    assert device.put({"runner": SCRIPT}) == str(put)
    assert not put.is_symlink()
    (put.parent / ("f" * 16)).symlink_to(elsewhere)
    device.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
    assert (elsewhere / "runner").read_bytes() == SCRIPT


def test_clean_leaves_a_device_that_is_in_use_alone(device: Device, tmp_path: Path) -> None:
    device.put({"runner": SCRIPT})
    with device.lock("me", for_s=60):
        with pytest.raises(DeviceError, match=r"^here is in use by me since ") as caught:
            device.clean()
        assert caught.value.kind == "busy"
    (tmp_path / "work" / "lock").write_text("damaged")
    assert device.clean() == 1
    assert list(tmp_path.iterdir()) == []


def _ends(process: Path) -> bool:
    """Whether a killed process is gone soon, or only waits for its new parent to collect it."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("signal_name", "why"),
    [
        ("SEGV", ": it touched memory that is not its own"),
        ("BUS", ": it touched memory that is not there, or a file shrank under it"),
        ("KILL", ": something ended it: most often the system ran out of memory"),
        ("ABRT", ""),
    ],
)
def test_death_by_signal_is_a_crash(device: Device, signal_name: str, why: str) -> None:
    folder = device.put({"runner": SCRIPT + f"echo said; kill -{signal_name} $$\n".encode()})
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=20)
    assert caught.value.kind == "crash"
    assert str(caught.value) == f"./runner on here died of SIG{signal_name}{why}"
    assert caught.value.completed is not None
    assert caught.value.completed.stdout == b"said\n"


def test_program_that_is_not_there(device: Device) -> None:
    folder = device.put({"data.bin": b""})
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=20)
    assert caught.value.kind == "missing_file"
    assert str(caught.value) == f"here has no program ./runner in {folder}"


def test_program_that_may_not_run(device: Device) -> None:
    folder = device.put({"data.bin": SCRIPT})
    with pytest.raises(DeviceError) as caught:
        device.run(["./data.bin"], cwd=folder, timeout_s=20)
    assert caught.value.kind == "failed"
    assert str(caught.value) == "./data.bin does not start on here: Permission denied"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="aarch64 programs run here")
@pytest.mark.skipif(
    Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists(), reason="this system runs aarch64 programs"
)
def test_program_for_another_architecture(device: Device) -> None:
    folder = device.put({"runner": exit_program(0)})
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=20)
    assert caught.value.kind == "isa"
    assert str(caught.value) == (
        "./runner is built for another architecture than here, which is x86_64: compile for its target, host"
    )


def test_get_of_an_absent_or_too_large_file(device: Device) -> None:
    folder = device.put({"data.bin": bytes(100)})
    with pytest.raises(DeviceError) as absent:
        device.get(f"{folder}/absent", 10)
    assert absent.value.kind == "missing_file"
    assert str(absent.value) == f"here has no readable file {folder}/absent: No such file or directory"
    with pytest.raises(DeviceError) as large:
        device.get(f"{folder}/data.bin", 99)
    assert large.value.kind == "too_large"
    assert str(large.value) == f"{folder}/data.bin on here is larger than 99 bytes"


def test_probe_describes_this_machine(device: Device) -> None:
    facts = device.probe()
    assert facts.arch == platform.machine()
    assert facts.n_cpus == os.cpu_count()
    assert facts.memory_bytes is not None and facts.memory_bytes > 1 << 28
    assert facts.features
