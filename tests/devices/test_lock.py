"""The lock of a device, on this machine, where the device's clock is what the test says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fusekit.devices import DeviceError
from fusekit.devices.local import LocalDevice


@pytest.fixture
def device(tmp_path: Path) -> LocalDevice:
    return LocalDevice("here", "host", tmp_path / "work")


def lock_line(boot: str, since: int, until: int, client: str = "00000000-1", token: str = "ab" * 8) -> str:
    return f"{token} {boot} {since} {until} {client} ana at desk (bench)\n"


def clock() -> tuple[str, int]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot, int(float(Path("/proc/uptime").read_text().split()[0]))


def plant(folder: Path, line: str) -> None:
    (folder / "work").mkdir()
    (folder / "work" / "lock").write_text(line)


def busy_error(device: LocalDevice, wait_s: float = 0) -> DeviceError:
    with pytest.raises(DeviceError) as caught, device.lock("me", for_s=10, wait_s=wait_s):
        pass
    assert caught.value.kind == "busy"
    return caught.value


def test_one_holds_it_and_the_next_is_told_who(device: LocalDevice, tmp_path: Path) -> None:
    with device.lock("ana at desk (bench, process 7)", for_s=60):
        held = device.locked()
        assert held is not None
        assert held.owner == "ana at desk (bench, process 7)"
        assert 58 <= held.left_s <= 60
        said = re.sub(r"\d\d:\d\d:\d\d", "TIME", str(busy_error(device)))
        assert said == (
            "here is in use by ana at desk (bench, process 7) since TIME, until TIME at the latest: wait, or, if nothing "
            "of it is running any more, type `fusekit devices unlock here`"
        )
    assert device.locked() is None
    assert list((tmp_path / "work").iterdir()) == []


def test_waiting_ends_when_it_is_free(device: LocalDevice) -> None:
    freed = threading.Event()

    def hold() -> None:
        with device.lock("first", for_s=60):
            freed.wait(10)

    first = threading.Thread(target=hold)
    first.start()
    while device.locked() is None:
        time.sleep(0.01)
    assert "and stayed so for 0.1 s" in str(busy_error(device, wait_s=0.1))
    threading.Timer(0.2, freed.set).start()
    with device.lock("second", for_s=60, wait_s=10):
        assert getattr(device.locked(), "owner", "") == "second"
    first.join()


def test_many_at_once_have_it_one_after_another(device: LocalDevice) -> None:
    inside: list[int] = []
    most: list[int] = []

    def use() -> None:
        with device.lock("one of many", for_s=60, wait_s=30):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    users = [threading.Thread(target=use) for _ in range(6)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert most == [1] * 6


@pytest.mark.parametrize(
    ("since", "until", "holds"), [(-10, 10, True), (-20, -1, False), (-20, 0, False), (5, 50, False)]
)
def test_it_holds_until_its_time_by_the_devices_uptime(
    device: LocalDevice, tmp_path: Path, since: int, until: int, holds: bool
) -> None:
    boot, now = clock()
    plant(tmp_path, lock_line(boot, now + since, now + until))
    assert (device.locked() is not None) == holds
    if not holds:
        with device.lock("me", for_s=10):
            assert getattr(device.locked(), "owner", "") == "me"


@pytest.mark.parametrize("jump_s", [-1e8, 1e8])
def test_a_clock_that_jumps_here_changes_nothing(
    device: LocalDevice, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    with device.lock("me", for_s=60):
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump_s)
        assert device.locked() is not None
    assert device.locked() is None


def test_it_does_not_outlive_a_restart(device: LocalDevice, tmp_path: Path) -> None:
    _, now = clock()
    plant(tmp_path, lock_line("another-boot", now - 1, now + 1000))
    assert device.locked() is None


@pytest.mark.parametrize(
    "line", ["", "x", "\0\0\0", "../.. a 1 2 3 4", "$(touch /tmp/x) b c d e f", "a b c d e f"]
)
def test_a_damaged_lock_is_replaced(device: LocalDevice, tmp_path: Path, line: str) -> None:
    plant(tmp_path, line)
    assert device.locked() is None
    with device.lock("me", for_s=10):
        assert getattr(device.locked(), "owner", "") == "me"
    assert list((tmp_path / "work").iterdir()) == []


def test_a_lock_that_is_a_link_elsewhere_is_replaced(device: LocalDevice, tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.write_text("kept")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "lock").symlink_to(elsewhere)
    with device.lock("me", for_s=10):
        pass
    assert elsewhere.read_text() == "kept"


def test_a_lock_that_is_a_folder_is_refused(device: LocalDevice, tmp_path: Path) -> None:
    (tmp_path / "work" / "lock").mkdir(parents=True)
    sentence = r"^here answers at .*/work: lock: Is a directory, which `fusekit devices unlock here` removes$"
    with pytest.raises(DeviceError, match=sentence) as caught, device.lock("me", for_s=10):
        pass
    assert caught.value.kind == "failed"


def test_what_a_holder_is_called_cannot_move_the_cursor(device: LocalDevice) -> None:
    with device.lock("eve\x1b[2J\nand\u202ebob", for_s=10):
        assert r"in use by eve\x1b[2J\x0aand\x202ebob since" in str(busy_error(device))


def test_the_lock_of_a_process_that_was_killed_is_taken_over(device: LocalDevice, tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from fusekit.devices.local import LocalDevice
with LocalDevice("here", "host", Path({str(tmp_path / "work")!r})).lock("gone", for_s=1000):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    assert (tmp_path / "work" / "lock").exists()
    assert device.locked() is None
    with device.lock("me", for_s=10):
        pass


def test_a_removal_that_was_broken_off_does_not_hold_it_for_ever(
    device: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusekit.devices.lock._STUCK_AFTER_S", 0.2)
    boot, now = clock()
    plant(tmp_path, lock_line(boot, now - 20, now - 10, token="cd" * 8))
    (tmp_path / "work" / f"lock.{'cd' * 8}").hardlink_to(tmp_path / "work" / "lock")
    with device.lock("me", for_s=10):
        pass
    assert list((tmp_path / "work").iterdir()) == []


def replace_command(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_one_taken_since_the_clock_was_read_holds(
    device: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot, _ = clock()
    line = lock_line(boot, 0, 1).replace(" 0 1 ", " $now $((now + 60)) ").strip()
    taken_by_another_a_second_later = f"""export PATH=${{PATH#*:}}
sleep 1.1
read -r now rest < /proc/uptime
now=${{now%%.*}}
echo "{line}" > lock
exec ln "$@\""""
    replace_command(tmp_path, monkeypatch, "ln", taken_by_another_a_second_later)
    assert "in use by ana at desk (bench)" in str(busy_error(device))


def test_a_disk_that_cannot_hold_a_lock_is_named(
    device: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_command(tmp_path, monkeypatch, "ln", "echo 'ln: Operation not permitted' >&2; exit 1")
    sentence = r"^here answers at .*/work: ln: Operation not permitted$"
    with pytest.raises(DeviceError, match=sentence), device.lock("me", for_s=10):
        pass


def test_a_lock_that_cannot_be_removed_is_named(
    device: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusekit.devices.lock._STUCK_AFTER_S", 0.1)
    plant(tmp_path, "damaged")
    replace_command(tmp_path, monkeypatch, "rm", "exit 0")
    sentence = r"^the lock of here has ended but cannot be removed: type `fusekit devices unlock here`$"
    with pytest.raises(DeviceError, match=sentence) as caught, device.lock("me", for_s=10):
        pass
    assert caught.value.kind == "failed"


def test_the_lock_of_a_successor_is_left_alone(device: LocalDevice) -> None:
    with device.lock("first", for_s=60):
        removed = device.unlock()
        assert removed is not None and removed.owner == "first"
        successor = device.lock("second", for_s=60)
        successor.__enter__()
    assert getattr(device.locked(), "owner", "") == "second"
    successor.__exit__(None, None, None)
    assert device.unlock() is None


def test_a_device_without_a_clock_is_named(device: LocalDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusekit.devices.lock._CLOCK", "boot=x now=soon\n")
    with pytest.raises(DeviceError, match=r"^here does not say what time it is there, but 'x soon'$"):
        device.locked()
