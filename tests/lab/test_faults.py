"""What goes wrong between here and a board: each fault has its kind, one sentence, and leaves nothing half there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fusekit.devices import Device, DeviceError, load_inventory, open_device
from fusekit.devices.connection import Connection
from fusekit.devices.inventory import SshEntry
from fusekit.devices.trust import scan, trust

from .board import Board, free_port, make_key
from .cutting_proxy import CuttingProxy
from .fixtures import Lab, LabDevice, describe

SCRIPT = b"#!/bin/sh\n"
MEGABYTES_3 = {"runner": SCRIPT, "weights.bin": bytes(range(256)) * 12_000}


@pytest.fixture
def reach(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Device]:
    def reach(board: Board, **changed: object) -> Device:
        """Return a board as a device; `changed` replaces keys of its inventory entry."""
        described = describe(lab, board, tmp_path, monkeypatch, **changed)
        return open_device(load_inventory(described.inventory).entry(described.name))

    return reach


def error_of(action: Callable[[], object]) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return caught.value


def left_behind(board: Board) -> list[str]:
    runs = board.home / ".cache" / "fusekit" / "runs"
    return sorted(path.name for path in runs.iterdir()) if runs.exists() else []


def replace_command(board: Board, name: str, script: str) -> None:
    path = board.root / "bin" / name
    path.unlink()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def ssh_entry(pi5: LabDevice) -> SshEntry:
    entry = load_inventory(pi5.inventory).entry(pi5.name)
    assert isinstance(entry, SshEntry)
    return entry


def test_unknown_host_key_is_refused_until_trusted(pi5: LabDevice) -> None:
    (pi5.config / "known_hosts").unlink()
    entry = ssh_entry(pi5)
    key = scan(entry)
    with open_device(entry) as device:
        error = error_of(device.probe)
        assert error.kind == "host_key"
        assert str(error) == (
            f"the host key of lab-pi5 ([127.0.0.1]:{entry.port}) is not known: it shows {key.fingerprint}; "
            "compare it with the board's and type `fusekit devices trust lab-pi5`"
        )
        assert key.text in pi5.board.host_key
        trust(entry, key)
        assert device.probe().arch == "aarch64"


def test_changed_host_key_is_refused_loudly(pi5: LabDevice, tmp_path: Path) -> None:
    entry = ssh_entry(pi5)
    known_hosts = pi5.config / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{entry.port} {make_key(tmp_path / 'other')}")
    before = known_hosts.read_text()
    error = error_of(open_device(entry).probe)
    assert error.kind == "host_key"
    assert str(error).startswith(
        f"THE HOST KEY OF lab-pi5 ([127.0.0.1]:{entry.port}) HAS CHANGED: it shows SHA256:"
    )
    assert str(error).endswith(
        "nothing was sent; only if you know that the board was installed anew, remove its line from "
        f"{known_hosts} and type `fusekit devices trust lab-pi5`"
    )
    assert error_of(lambda: trust(entry, scan(entry))).kind == "host_key"
    assert known_hosts.read_text() == before


def test_wrong_user_key(pi5_board: Board, reach: Callable[..., Device], tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    error = error_of(reach(pi5_board, key=tmp_path / "stranger").probe)
    assert error.kind == "auth"
    assert str(error) == (
        f"lab-pi5 refuses the key {tmp_path}/stranger for the user pi: type `ssh-copy-id -i {tmp_path}/stranger.pub "
        f"-p {pi5_board.port} pi@127.0.0.1`, or correct `user` and `key` of lab-pi5 in the inventory"
    )


def test_closed_port(pi5_board: Board, reach: Callable[..., Device]) -> None:
    port = free_port()
    error = error_of(reach(pi5_board, port=port).probe)
    assert error.kind == "unreachable"
    assert str(error) == (
        f"lab-pi5 (127.0.0.1 port {port}) refuses connections: is SSH switched on there (`sudo raspi-config`, "
        "Interface Options) and is `port` in the inventory right?"
    )


def test_full_disk_is_seen_before_anything_is_sent(lab: Lab, reach: Callable[..., Device]) -> None:
    board = lab.board("small", home_bytes=2 << 20)
    with reach(board) as device:
        error = error_of(lambda: device.put(MEGABYTES_3))
        assert error.kind == "disk_full"
        assert str(error) == (
            "the disk of lab-pi5 is full: /home/pi/.cache/fusekit/runs has 2.1 MB left and 3.1 MB are to be sent: "
            "free some space, or type `fusekit devices clean lab-pi5`"
        )
        assert left_behind(board) == []
        assert device.run(["./runner"], cwd=device.put({"runner": SCRIPT}), timeout_s=10).exit_code == 0


def test_disk_that_fills_during_the_upload(lab: Lab, reach: Callable[..., Device]) -> None:
    board = lab.board("filling", home_bytes=2 << 20)
    replace_command(board, "df", "echo head; echo tmpfs 9000000 0 9000000 0% /home/pi")
    with reach(board) as device:
        error = error_of(lambda: device.put(MEGABYTES_3))
    assert error.kind == "disk_full"
    assert "the disk of lab-pi5 is full at /home/pi/.cache/fusekit/runs/" in str(error)
    assert left_behind(board) == []


def test_file_that_arrives_damaged(lab: Lab, reach: Callable[..., Device]) -> None:
    board = lab.board("damaging")
    replace_command(board, "sha256sum", "echo 00 $1")
    with reach(board) as device:
        error = error_of(lambda: device.put({"data.bin": b"x"}))
    assert error.kind == "corrupt"
    assert str(error) == (
        "data.bin arrived damaged on lab-pi5: type the command again; if it repeats, suspect the board's memory card"
    )
    assert left_behind(board) == []


def test_read_only_disk(lab: Lab, reach: Callable[..., Device]) -> None:
    with reach(lab.board("read-only", read_only=True)) as device:
        error = error_of(lambda: device.put({"runner": SCRIPT}))
    assert error.kind == "read_only"
    assert str(error) == (
        "lab-pi5 cannot write to ~/.cache/fusekit (mkdir: can't create directory '/home/pi/.cache/': Read-only file "
        "system): give another `workdir` for lab-pi5 in the inventory"
    )


def test_connection_cut_during_an_upload(pi5_board: Board, reach: Callable[..., Device]) -> None:
    with CuttingProxy(pi5_board.port, 1_000_000, "cut") as proxy, reach(pi5_board, port=proxy.port) as device:
        error = error_of(lambda: device.put(MEGABYTES_3))
    assert error.kind == "lost"
    assert str(error).startswith(f"the connection to lab-pi5 ([127.0.0.1]:{proxy.port}) was cut")
    assert all(name.endswith(".part") for name in left_behind(pi5_board))
    with reach(pi5_board) as device:
        folder = device.put(MEGABYTES_3)
        assert left_behind(pi5_board) == [Path(folder).name]
        device.clean()


def test_connection_that_stalls_during_an_upload(
    pi5_board: Board, reach: Callable[..., Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusekit.devices.connection.DEAD_AFTER_S", 1)
    start = time.monotonic()
    with (
        CuttingProxy(pi5_board.port, 1_000_000, "stall") as proxy,
        reach(pi5_board, port=proxy.port) as device,
    ):
        error = error_of(lambda: device.put(MEGABYTES_3 | {"more.bin": bytes(8_000_000)}))
    assert error.kind == "lost"
    assert "it took no data for 1 s" in str(error)
    assert time.monotonic() - start < 15
    with reach(pi5_board) as device:
        device.put({"runner": SCRIPT})
        assert len(left_behind(pi5_board)) == 1
        device.clean()


def test_sessions_killed_during_a_run(pi5_board: Board, reach: Callable[..., Device]) -> None:
    with reach(pi5_board) as device:
        folder = device.put({"runner": SCRIPT + b"sleep 20\n"})
        killer = threading.Timer(0.7, pi5_board.cut_sessions)
        killer.start()
        error = error_of(lambda: device.run(["./runner"], cwd=folder, timeout_s=20))
        killer.join()
        assert error.kind == "lost"
        assert device.clean() == 1  # over a new connection


def test_program_past_its_limit_is_ended_on_the_board(pi5_board: Board, reach: Callable[..., Device]) -> None:
    with reach(pi5_board) as device:
        folder = device.put({"runner": SCRIPT + b"echo $$ > pid; exec sleep 30\n"})
        error = error_of(lambda: device.run(["./runner"], cwd=folder, timeout_s=1))
        assert error.kind == "timeout"
        assert str(error) == "./runner on lab-pi5 was still running after 1 s and was ended"
        # Boards have no process namespace of their own, so the number is the host's.
        pid = int(device.get(f"{folder}/pid", 100))
        assert not Path(f"/proc/{pid}").exists()
        device.clean()


def test_program_that_crashes(pi5_board: Board, reach: Callable[..., Device]) -> None:
    with reach(pi5_board) as device:
        folder = device.put({"runner": SCRIPT + b"echo so far; kill -SEGV $$\n"})
        error = error_of(lambda: device.run(["./runner"], cwd=folder, timeout_s=20))
        assert error.kind == "crash"
        assert str(error) == "./runner on lab-pi5 died of SIGSEGV: it touched memory that is not its own"
        assert error.completed is not None
        assert (error.completed.exit_code, error.completed.stdout) == (139, b"so far\n")
        device.clean()


def test_uploads_of_others_are_kept(pi5_board: Board, reach: Callable[..., Device]) -> None:
    with reach(pi5_board) as device:
        device.put({"runner": SCRIPT})
        theirs = f"{'0' * 16}.00000000-999999999.part"
        (pi5_board.home / ".cache/fusekit/runs" / theirs).mkdir()
        device.put({"runner": SCRIPT + b"true\n"})
        assert theirs in left_behind(pi5_board)
        (pi5_board.home / ".cache/fusekit/runs" / theirs).rmdir()
        device.clean()


def test_board_without_a_needed_command(lab: Lab, reach: Callable[..., Device]) -> None:
    board = lab.board("bare")
    (board.root / "bin/sha256sum").unlink()
    with reach(board) as device:
        error = error_of(lambda: device.put({"runner": SCRIPT}))
    assert error.kind == "missing_tool"
    assert str(error) == "lab-pi5 has no command `sha256sum`: install coreutils or busybox there"


def test_disk_that_does_not_say_how_full_it_is(lab: Lab, reach: Callable[..., Device]) -> None:
    board = lab.board("mute")
    replace_command(board, "df", "echo nothing")
    with reach(board) as device:
        error = error_of(lambda: device.put({"data.bin": b"x"}))
    assert error.kind == "failed"
    assert str(error) == "lab-pi5 does not say how much space is left: `df -Pk` gives 'nothing\\n'"
    assert left_behind(board) == []


def test_command_that_fails_in_another_way(lab: Lab, reach: Callable[..., Device]) -> None:
    board = lab.board("failing")
    replace_command(board, "mkdir", "echo no folders today >&2; exit 1")
    with reach(board) as device:
        error = error_of(lambda: device.put({"data.bin": b"x"}))
    assert error.kind == "failed"
    assert str(error) == "lab-pi5 answers at ~/.cache/fusekit: no folders today"


def test_server_that_allows_no_commands(lab: Lab, reach: Callable[..., Device]) -> None:
    with reach(lab.board("closed", sshd_option="MaxSessions 0")) as device:
        error = error_of(device.probe)
    assert error.kind == "failed"
    assert str(error).startswith("lab-pi5 refuses to run a command: ")


def test_answer_that_is_too_long_or_too_late(pi5: LabDevice) -> None:
    connection = Connection(ssh_entry(pi5), pi5.config / "known_hosts")
    try:
        error = error_of(lambda: connection.execute("cat /dev/zero", limit_s=20, limit_bytes=1_000_000))
        assert error.kind == "too_large"
        assert str(error) == "lab-pi5 wrote more than 1000000 bytes"
        error = error_of(lambda: connection.execute("sleep 5", limit_s=0.5))
        assert error.kind == "timeout"
        assert str(error) == "lab-pi5 did not answer within 0.5 s"
    finally:
        connection.close()
