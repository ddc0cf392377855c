"""The fault matrix: each fault between here and a board has its kind, one sentence, a number of tries, and leaves nothing.

After a fault the same board takes files, runs them and is cleaned, and nothing is left on it or running there.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fusekit.devices import Device, Kind, open_device
from fusekit.devices.trust import scan, trust

from ..devices.tiny_program import SMMLA, crash_program, exit_program
from .board import free_port, make_key
from .cutting_proxy import CuttingProxy
from .fault_bench import (
    MEGABYTES_3,
    PROGRAM,
    SCRIPT,
    FaultBench,
    bench,
    error_of,
    frozen,
    left_behind,
    nothing_runs,
    replaced,
    thaw,
    when_started,
)

__all__ = ["bench"]

Action = Callable[[], object]
Provoke = Callable[[FaultBench], AbstractContextManager[Action]]
CUT = r"the connection to lab-pi5 \(\[127\.[0-9.]+\]:\d+\) was cut"
BEFORE_THE_LOGIN = {"unreachable", "host_key", "auth"}
AGAIN = ": check its power and network and type the command again; what was half sent is removed then"


@dataclass(frozen=True)
class Fault:
    """How it is provoked, and what is said; `connects` counts the connections that were tried."""

    provoke: Provoke
    kind: Kind
    sentence: str
    connects: int = 1


FAULTS: dict[str, Fault] = {}


def fault(
    name: str, kind: Kind, sentence: str, connects: int = 1
) -> Callable[[Callable[[FaultBench], Iterator[Action]]], Provoke]:
    """Enter a generator into the matrix: it makes the fault, yields what meets it, and takes the fault away."""

    def enter(make: Callable[[FaultBench], Iterator[Action]]) -> Provoke:
        provoke = contextmanager(make)
        FAULTS[name] = Fault(provoke, kind, sentence, connects)
        return provoke

    return enter


@fault(
    "unknown key",
    "host_key",
    r"the host key of lab-pi5 \(\[127\.0\.0\.1\]:\d+\) is not known: it shows SHA256:\S+; compare it with the board's and "
    "type `fusekit devices trust lab-pi5`",
)
def unknown_key(bench: FaultBench) -> Iterator[Action]:
    entry = bench.entry()
    (bench.folder / "config" / "known_hosts").unlink()
    with open_device(entry) as device:
        yield device.probe
        key = scan(entry)
        assert key.text in bench.board.host_key
        trust(entry, key)
        assert device.probe().arch == "aarch64"


@fault(
    "changed key",
    "host_key",
    r"THE HOST KEY OF lab-pi5 \(\[127\.0\.0\.1\]:\d+\) HAS CHANGED: it shows SHA256:\S+, but SHA256:\S+ is recorded: another "
    "machine may be answering in its place; nothing was sent; only if you know that the board was installed anew, remove "
    r"its line from \S+/known_hosts and type `fusekit devices trust lab-pi5`",
)
def changed_key(bench: FaultBench) -> Iterator[Action]:
    entry = bench.entry()
    recorded = f"[127.0.0.1]:{bench.board.port} {make_key(bench.folder / 'other')}"
    known_hosts = bench.folder / "config" / "known_hosts"
    known_hosts.write_text(recorded)
    yield open_device(entry).probe
    assert error_of(lambda: trust(entry, scan(entry))).kind == "host_key"
    assert known_hosts.read_text() == recorded


@fault(
    "wrong user key",
    "auth",
    r"lab-pi5 refuses the key (\S+)/stranger for the user pi: type `ssh-copy-id -i \1/stranger\.pub -p \d+ pi@127\.0\.0\.1`, "
    "or correct `user` and `key` of lab-pi5 in the inventory",
)
def wrong_user_key(bench: FaultBench) -> Iterator[Action]:
    make_key(bench.folder / "stranger")
    yield bench.reach(key=bench.folder / "stranger").probe


@fault(
    "closed port",
    "unreachable",
    r"lab-pi5 \(127\.0\.0\.1 port \d+\) refuses connections: is SSH switched on there \(`sudo raspi-config`, Interface "
    r"Options\) and is `port` in the inventory right\?",
)
def closed_port(bench: FaultBench) -> Iterator[Action]:
    yield bench.reach(port=free_port()).probe


NO_SSH = (
    r"lab-pi5 does not answer as an SSH server at 127\.0\.0\.1 port \d+( \(.*\))?: is this the right `host` and `port` in "
    r"the inventory, and is the board still starting\?"
)


@fault("mute port", "unreachable", NO_SSH)
def mute_port(bench: FaultBench) -> Iterator[Action]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield bench.reach(port=server.getsockname()[1], connect_timeout_s=0.5).probe


@fault("port that hangs up", "unreachable", NO_SSH + r" \(tried 3 times\)", connects=3)
def port_that_hangs_up(bench: FaultBench) -> Iterator[Action]:
    with CuttingProxy(bench.board.port, 0, "cut") as proxy:
        yield bench.reach(port=proxy.port).probe


@fault("frozen server", "unreachable", NO_SSH)
def frozen_server(bench: FaultBench) -> Iterator[Action]:
    with frozen([bench.board.pid]):
        yield bench.reach(connect_timeout_s=0.5).probe


@fault(
    "disk full",
    "disk_full",
    r"the disk of lab-pi5 is full: /home/pi/\.cache/fusekit/runs has \d\.\d MB left and 3\.1 MB are to be sent: free some "
    "space, or type `fusekit devices clean lab-pi5`",
)
def disk_full(bench: FaultBench) -> Iterator[Action]:
    with (
        replaced(bench.board, "df", "echo head; echo tmpfs 9000 7000 2000 80% /home/pi"),
        bench.reach() as device,
    ):
        yield lambda: device.put(MEGABYTES_3)
        assert left_behind(bench.board) == []


@fault(
    "disk that fills in an upload",
    "disk_full",
    r"the disk of lab-pi5 is full at /home/pi/\.cache/fusekit/runs/\S+/weights\.bin: free some space, or type "
    "`fusekit devices clean lab-pi5`",
)
def disk_that_fills(bench: FaultBench) -> Iterator[Action]:
    bench.board = bench.lab.board("small", home_bytes=2 << 20)
    with (
        replaced(bench.board, "df", "echo head; echo tmpfs 9000000 0 9000000 0% /home/pi"),
        bench.reach() as device,
    ):
        yield lambda: device.put(MEGABYTES_3)
        assert left_behind(bench.board) == []


@fault("power cut in an upload", "lost", CUT + r"( \(.*\))?" + AGAIN + r" \(tried twice\)", connects=4)
def power_cut_in_an_upload(bench: FaultBench) -> Iterator[Action]:
    with (
        CuttingProxy(bench.board.port, 1_000_000, bench.board.stop, times=1) as proxy,
        bench.reach(port=proxy.port) as device,
    ):
        yield lambda: device.put(MEGABYTES_3)
    bench.board.start()
    assert any(name.endswith(".part") for name in left_behind(bench.board))


@fault("power cut in a run", "lost", CUT + r"( \(.*\))?" + AGAIN)
def power_cut_in_a_run(bench: FaultBench) -> Iterator[Action]:
    with bench.reach() as device:
        yield run_and(bench, device, bench.board.stop)
    bench.board.start()


@fault("sessions killed in a run", "lost", CUT + r" \(the session ended without a result\)" + AGAIN)
def sessions_killed(bench: FaultBench) -> Iterator[Action]:
    with bench.reach() as device:
        yield run_and(bench, device, bench.board.cut_sessions)


@fault("reset in an upload", "lost", CUT + r"( \(.*\))?" + AGAIN + r" \(tried twice\)", connects=4)
def reset_in_an_upload(bench: FaultBench) -> Iterator[Action]:
    with CuttingProxy(bench.board.port, 1_000_000, "cut") as proxy, bench.reach(port=proxy.port) as device:
        yield lambda: device.put(MEGABYTES_3)


@fault("reset in a run", "lost", CUT + r"( \(.*\))?" + AGAIN)
def reset_in_a_run(bench: FaultBench) -> Iterator[Action]:
    with CuttingProxy(bench.board.port, 1 << 40, "cut") as proxy, bench.reach(port=proxy.port) as device:
        yield run_and(bench, device, proxy.cut)
        # The program is ended with its connection, long before its time limit.
        assert nothing_runs(bench.board)


@fault(
    "stall in an upload",
    "lost",
    CUT + r" \(it (took no data|did not answer) for 1 s\)" + AGAIN + r" \(tried twice\)",
    connects=2,
)
def stall_in_an_upload(bench: FaultBench) -> Iterator[Action]:
    bench.impatient()
    with (
        CuttingProxy(bench.board.port, 1_000_000, "stall") as proxy,
        bench.reach(port=proxy.port, connect_timeout_s=1) as device,
    ):
        yield lambda: device.put(MEGABYTES_3 | {"more.bin": bytes(8_000_000)})


@fault("link down in an upload", "lost", CUT + r"( \(.*\))?" + AGAIN + r" \(tried twice\)", connects=2)
def link_down(bench: FaultBench) -> Iterator[Action]:
    """Nothing tells either side: data stays unacknowledged until TCP_USER_TIMEOUT."""
    bench.monkeypatch.setattr("fusekit.devices.socket_to.DEAD_AFTER_S", 4)
    address = f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 1}.7"

    def route(verb: str) -> None:
        subprocess.run(["ip", "route", verb, "blackhole", f"{address}/32", "table", "local"], check=True)

    proxy = CuttingProxy(bench.board.port, 1_000_000, lambda: route("add"), times=1, address=address)
    with proxy, bench.reach(host=address, port=proxy.port, connect_timeout_s=1) as device:
        known_hosts = bench.folder / "config" / "known_hosts"
        known_hosts.write_text(known_hosts.read_text().replace("127.0.0.1", address))
        yield lambda: device.put(MEGABYTES_3 | {"more.bin": bytes(8_000_000)})
        route("del")


@fault("frozen session", "lost", CUT + r" \(it did not answer for 1 s\)" + AGAIN)
def frozen_session(bench: FaultBench) -> Iterator[Action]:
    """Its kernel acknowledges everything, so that TCP never notices."""
    bench.impatient()
    pids: list[int] = []

    def freeze() -> None:
        pids.extend(bench.board.session_pids())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    with bench.reach() as device:
        yield run_and(bench, device, freeze)
        thaw(pids)
        assert nothing_runs(bench.board)


@fault(
    "program that dies of SIGSEGV",
    "crash",
    r"\./runner on lab-pi5 died of SIGSEGV: it touched memory that is not its own",
)
def segmentation_fault(bench: FaultBench) -> Iterator[Action]:
    with bench.reach() as device:
        yield run(device, crash_program())


@fault(
    "program that dies of SIGILL",
    "crash",
    r"\./runner on lab-pi5 died of SIGILL: it met an instruction that this CPU does not have: is the device's `target` right\?",
)
def illegal_instruction(bench: FaultBench) -> Iterator[Action]:
    with bench.reach() as device:
        yield run(device, exit_program(0, SMMLA))


@fault("program past its time", "timeout", r"\./runner on lab-pi5 was still running after 1 s and was ended")
def past_its_time(bench: FaultBench) -> Iterator[Action]:
    with bench.reach() as device:
        yield run(device, PROGRAM, timeout_s=1)
        device.close()
        assert nothing_runs(bench.board)


@fault(
    "program that writes without end",
    "too_large",
    r"\./runner on lab-pi5 wrote more than 1000000 bytes and was ended",
)
def endless_output(bench: FaultBench) -> Iterator[Action]:
    bench.monkeypatch.setattr("fusekit.devices.ssh.OUTPUT_BYTES", 1_000_000)
    with bench.reach() as device:
        yield run(device, SCRIPT + b"exec cat /dev/zero\n")
        device.close()
        assert nothing_runs(bench.board)


@pytest.mark.parametrize("name", FAULTS)
def test_fault(bench: FaultBench, name: str) -> None:
    fault = FAULTS[name]
    with fault.provoke(bench) as action:
        error = error_of(action)
        connects = len(bench.connects)
    assert error.kind == fault.kind
    assert re.fullmatch(fault.sentence, str(error)), str(error)
    assert connects == fault.connects
    if fault.kind in BEFORE_THE_LOGIN:
        assert not (bench.board.home / ".cache").exists() or not any((bench.board.home / ".cache").iterdir())
        return
    with bench.reach() as device:
        folder = device.put({"runner": SCRIPT + b"exit 3\n"})
        digest = Path(folder).name
        assert not any(".part" in name for name in left_behind(bench.board))
        assert device.run(["./runner"], cwd=folder, timeout_s=60).exit_code == 3
        assert f"runs/{digest}/runner" in left_behind(bench.board)
        device.clean()
    assert list((bench.board.home / ".cache").iterdir()) == []
    assert nothing_runs(bench.board)


def run(device: Device, program: bytes, timeout_s: float = 60) -> Action:
    folder = device.put({"runner": program})
    return lambda: device.run(["./runner"], cwd=folder, timeout_s=timeout_s)


def run_and(bench: FaultBench, device: Device, act: Callable[[], object]) -> Action:
    """Run PROGRAM and do something as soon as it runs."""
    folder = device.put({"runner": PROGRAM})

    def run() -> None:
        actor = when_started(bench.board, folder, act)
        try:
            device.run(["./runner"], cwd=folder, timeout_s=60)
        finally:
            actor.join()

    return run
