"""Boards that are set up badly, broken, or hostile: each has its sentence, and no board reaches beyond its work folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fusekit.devices.connection import Connection

from .fault_bench import MEGABYTES_3, SCRIPT, FaultBench, bench, error_of, left_behind, replaced

__all__ = ["bench"]

ESCAPE = r"\033[2J\033]0;owned\007"


def runs(bench: FaultBench) -> Path:
    return bench.board.home / ".cache" / "fusekit" / "runs"


def test_disk_that_is_really_small(bench: FaultBench) -> None:
    board = bench.lab.board("really-small", home_bytes=2 << 20)
    with bench.reach(board) as device:
        assert error_of(lambda: device.put(MEGABYTES_3)).kind == "disk_full"
        assert left_behind(board) == []
        device.put({"runner": SCRIPT})


def test_read_only_disk(bench: FaultBench) -> None:
    with bench.reach(bench.lab.board("read-only", read_only=True)) as device:
        for action in (lambda: device.put({"runner": SCRIPT}), device.lock("me", for_s=9).__enter__):
            error = error_of(action)
            assert error.kind == "read_only"
            assert str(error) == (
                "lab-pi5 cannot write to ~/.cache/fusekit (mkdir: can't create directory '/home/pi/.cache/': Read-only "
                "file system): give another `workdir` for lab-pi5 in the inventory"
            )
    assert len(bench.connects) == 1


def test_file_that_arrives_damaged(bench: FaultBench) -> None:
    with replaced(bench.board, "sha256sum", "echo 00 $1"), bench.reach() as device:
        error = error_of(lambda: device.put({"data.bin": b"x"}))
    assert error.kind == "corrupt"
    assert str(error) == (
        "data.bin arrived damaged on lab-pi5: type the command again; if it repeats, suspect the board's memory card"
    )
    assert left_behind(bench.board) == []


def test_upload_that_somebody_cleans_away_is_sent_again(bench: FaultBench) -> None:
    once = "[ -e /tmp/once ] || { : > /tmp/once; rm -r /home/pi/.cache/fusekit/runs/*.part; }"
    with (
        replaced(bench.board, "df", f"{once}; echo head; echo tmpfs 9 0 9000000 0% /"),
        bench.reach() as device,
    ):
        folder = device.put({"data.bin": b"x"})
        assert device.get(f"{folder}/data.bin", 9) == b"x"
        device.clean()
    (bench.board.root / "tmp" / "once").unlink()
    assert len(bench.connects) == 1


def test_uploads_of_others_are_kept(bench: FaultBench) -> None:
    with bench.reach() as device:
        device.put({"runner": SCRIPT})
        theirs = f"{'0' * 16}.00000000-999999999.part"
        (runs(bench) / theirs).mkdir()
        device.put({"runner": SCRIPT + b"true\n"})
        assert f"runs/{theirs}" in left_behind(bench.board)
        device.clean()
    assert left_behind(bench.board) == []


@pytest.mark.parametrize(
    ("command", "script", "kind", "sentence"),
    [
        (
            "df",
            "echo nothing",
            "failed",
            r"lab-pi5 does not say how much space is left: `df -Pk` gives 'nothing\n'",
        ),
        ("mkdir", "echo no folders >&2; exit 1", "failed", "lab-pi5 answers at ~/.cache/fusekit: no folders"),
        ("mkdir", "exit 7", "failed", "lab-pi5 answers at ~/.cache/fusekit: exit code 1"),
        (
            "mkdir",
            f"printf '{ESCAPE}' >&2; exit 1",
            "failed",
            r"lab-pi5 answers at ~/.cache/fusekit: \x1b[2J\x1b]0;owned\x07",
        ),
        (
            "uname",
            f"printf '{ESCAPE}'",
            "isa",
            (
                r"runner is built for x86_64, but lab-pi5 is \x1b[2J\x1b]0;owned\x07: is its `target` in the inventory, "
                "rpi5, right?"
            ),
        ),
        ("find", "exec cat /dev/zero", "too_large", "lab-pi5 wrote more than 1048576 bytes"),
    ],
)
def test_board_that_answers_nonsense(
    bench: FaultBench, command: str, script: str, kind: str, sentence: str
) -> None:
    x86_64 = bytes.fromhex("7f454c46020101" + 9 * "00" + "02003e00") + bytes(44)
    files = {"runner": x86_64} if command == "uname" else {"data.bin": b"x"}
    with replaced(bench.board, command, script), bench.reach() as device:
        error = error_of(lambda: device.put(files))
    assert (error.kind, str(error)) == (kind, sentence)
    assert left_behind(bench.board) == []


def test_board_without_a_needed_command(bench: FaultBench) -> None:
    with bench.reach() as device:
        path = bench.board.root / "bin" / "sha256sum"
        original = path.readlink()
        path.unlink()
        try:
            error = error_of(lambda: device.put({"runner": SCRIPT}))
        finally:
            path.symlink_to(original)
    assert error.kind == "missing_tool"
    assert str(error) == "lab-pi5 has no command `sha256sum`: install coreutils or busybox there"


def test_server_that_allows_no_commands(bench: FaultBench) -> None:
    with bench.reach(bench.lab.board("closed", sshd_option="MaxSessions 0")) as device:
        error = error_of(device.probe)
    assert error.kind == "failed"
    assert str(error) == (
        "lab-pi5 refuses to run a command (Connect failed): set `MaxSessions` in its sshd_config to 1 or more (tried 4 "
        "times)"
    )
    assert len(bench.connects) == 1


def test_server_that_allows_one_session(bench: FaultBench) -> None:
    with bench.reach(bench.lab.board("narrow", sshd_option="MaxSessions 1")) as device:
        folder = device.put({"runner": SCRIPT})
        error_of(lambda: device.run(["./absent"], cwd=folder, timeout_s=20))
        assert device.run(["./runner"], cwd=folder, timeout_s=20).exit_code == 0
    assert len(bench.connects) == 1


def test_answer_that_is_too_long_or_too_late(bench: FaultBench) -> None:
    connection = Connection(bench.entry())
    try:
        error = error_of(lambda: connection.execute("cat /dev/zero", limit_s=20, limit_bytes=1_000_000))
        assert (error.kind, str(error)) == ("too_large", "lab-pi5 wrote more than 1000000 bytes")
        error = error_of(lambda: connection.execute("sleep 5", limit_s=0.5))
        assert (error.kind, str(error)) == ("timeout", "lab-pi5 did not answer within 0.5 s")
    finally:
        connection.close()


def test_links_that_a_user_of_the_board_planted_are_not_followed(bench: FaultBench) -> None:
    elsewhere = bench.board.home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "runner").write_bytes(SCRIPT)
    os.chown(elsewhere, 1000, 1000)
    with bench.reach() as device:
        put = device.put({"runner": SCRIPT})
        digest = Path(put).name
        device.clean()
        runs(bench).mkdir(parents=True)
        (runs(bench) / digest).symlink_to("/home/pi/elsewhere")
        for folder in (runs(bench), runs(bench).parent, runs(bench).parent.parent):
            os.chown(folder, 1000, 1000)
        assert device.put({"runner": SCRIPT}) == put
        assert not (runs(bench) / digest).is_symlink()
        (runs(bench) / ("f" * 16)).symlink_to("/home/pi/elsewhere")
        device.clean()
        assert (elsewhere / "runner").read_bytes() == SCRIPT
        runs(bench).parent.mkdir(parents=True)
        os.chown(runs(bench).parent, 1000, 1000)
        runs(bench).symlink_to("/home/pi/elsewhere")
        error = error_of(lambda: device.put({"runner": SCRIPT}))
        assert str(error) == (
            "lab-pi5 answers at ~/.cache/fusekit: runs is a symbolic link, which fusekit never makes"
        )
        device.clean()
    assert [path.name for path in elsewhere.iterdir()] == ["runner"]
    (elsewhere / "runner").unlink()
    elsewhere.rmdir()


def test_work_folder_of_somebody_else_is_refused(bench: FaultBench) -> None:
    folder = bench.board.root / "tmp" / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with bench.reach(workdir="/tmp/shared") as device:
        for action in (lambda: device.put({"runner": SCRIPT}), device.lock("me", for_s=9).__enter__):
            assert str(error_of(action)) == (
                "the work folder /tmp/shared of lab-pi5 belongs to somebody else, who could replace what runs there: give "
                "another `workdir` for lab-pi5 in the inventory"
            )
    assert list(folder.iterdir()) == []
    folder.rmdir()


def test_hostile_names_are_quoted(bench: FaultBench) -> None:
    name = "a b'$(touch owned)`touch owned`;touch owned;#"
    with bench.reach(workdir=f'"~/{name}"') as device:
        folder = device.put({"runner": SCRIPT + b'printf %s "$1"\n'})
        with device.lock(name, for_s=60):
            held = device.locked()
            assert held is not None and held.owner == name
            done = device.run(["./runner", name], cwd=folder, timeout_s=60)
        assert done.stdout.decode() == name
        assert device.get(f"{folder}/runner", 100).startswith(SCRIPT)
        device.clean()
    assert not list(bench.board.home.rglob("owned"))
    assert [path.name for path in bench.board.home.iterdir() if path.name != ".cache"] == []
