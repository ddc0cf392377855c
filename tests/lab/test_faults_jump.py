"""Boards behind other machines: reached through them, each fault laid at the right door, logins kept within what they bear."""

from __future__ import annotations

import threading

import pytest

from fusekit.devices import Device, load_inventory, open_device
from fusekit.devices.entry import SshEntry
from fusekit.devices.trust import scan

from .board import ADDRESS, USER, Board, free_port
from .cutting_proxy import CuttingProxy
from .fault_bench import SCRIPT, FaultBench, bench, error_of, nothing_runs
from .fixtures import Lab

__all__ = ["bench"]


@pytest.fixture(scope="module")
def gate(lab: Lab) -> Board:
    return lab.board("gate")


def behind(bench: FaultBench, gate: Board, board: Board, *names: str, **changed: object) -> list[Device]:
    """Devices `names` that all are `board`, behind a second machine that is behind a first; `changed` is the first's."""
    keys = {"host": ADDRESS, "user": USER, "key": bench.lab.key, "target": "rpi5", "connect_timeout_s": 30}
    entries: dict[str, dict[str, object]] = {
        "gate": {**keys, "port": gate.port, **changed},
        "inner": {**keys, "port": gate.port, "jump": "gate"},
        **{name: {**keys, "port": board.port, "jump": "inner"} for name in names},
    }
    lines = ["devices:"]
    for name, entry in entries.items():
        lines += [
            f"  {name}:",
            "    transport: ssh",
            *(f"    {key}: {value}" for key, value in entry.items()),
        ]
    path = bench.folder / "inventory.yaml"
    path.write_text("\n".join(lines))
    known_hosts = bench.folder / "config" / "known_hosts"
    known_hosts.parent.mkdir(exist_ok=True)
    known_hosts.write_text(
        "".join(f"[{ADDRESS}]:{seen.port} {seen.host_key}" for seen in (gate, board))
        + "".join(f"[{ADDRESS}]:{port} {gate.host_key}" for port in [changed.get("port", gate.port)])
    )
    bench.monkeypatch.setenv("FUSEKIT_CONFIG", str(known_hosts.parent))
    inventory = load_inventory(path)
    return [open_device(inventory.entry(name)) for name in names]


def test_a_board_behind_two_machines_does_all_that_a_near_one_does(bench: FaultBench, gate: Board) -> None:
    (device,) = behind(bench, gate, bench.board, "far")
    with device:
        folder = device.put({"runner": SCRIPT + b"exit 3\n"})
        with device.lock("me", for_s=60):
            assert device.run(["./runner"], cwd=folder, timeout_s=60).exit_code == 3
        device.clean()
    assert bench.connects == ["gate"]
    assert nothing_runs(gate)


def test_many_boards_share_one_connection_to_a_server_that_takes_few_logins(
    bench: FaultBench, gate: Board
) -> None:
    bench.monkeypatch.undo()
    careful = bench.lab.board("careful", sshd_option="MaxStartups 4:100:4")
    devices = behind(bench, gate, careful, *(f"far{number}" for number in range(12)))
    said: list[str] = []

    def probe(device: Device) -> None:
        with device:
            said.append(device.probe().arch)

    users = [threading.Thread(target=probe, args=(device,)) for device in devices]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert said == ["aarch64"] * 12
    assert "MaxStartups" in (careful.folder / "sshd.log").read_text()
    assert nothing_runs(gate)


def test_the_machine_in_the_way_is_named(bench: FaultBench, gate: Board) -> None:
    (device,) = behind(bench, gate, bench.board, "far", port=free_port())
    error = error_of(device.probe)
    assert error.kind == "unreachable"
    assert str(error).startswith("gate (127.0.0.1 port ")
    (device,) = behind(bench, gate, bench.board, "far", key=bench.folder / "absent")
    error = error_of(device.probe)
    assert error.kind == "auth"
    assert str(error).startswith(f"the key of gate, {bench.folder}/absent, does not exist")


def test_a_board_that_the_last_machine_does_not_reach(bench: FaultBench, gate: Board) -> None:
    behind(bench, gate, bench.board, "far")
    path, port = bench.folder / "inventory.yaml", free_port()
    path.write_text(path.read_text().replace(f"port: {bench.board.port}", f"port: {port}"))
    error = error_of(open_device(load_inventory(path).entry("far")).probe)
    assert error.kind == "unreachable"
    assert str(error) == (
        f"inner does not reach far at 127.0.0.1 port {port}: is the board switched on, and is this its address as inner "
        "sees it?"
    )
    assert nothing_runs(gate)


def test_a_machine_that_lets_nothing_through(bench: FaultBench) -> None:
    closed = bench.lab.board("closed-gate", sshd_option="AllowTcpForwarding no")
    (device,) = behind(bench, closed, bench.board, "far")
    error = error_of(device.probe)
    assert error.kind == "unreachable"
    assert str(error) == (
        "gate lets nothing through to inner: set `AllowTcpForwarding yes` in its sshd_config"
    )


def test_the_key_of_a_board_behind_others_is_checked(bench: FaultBench, gate: Board) -> None:
    (device,) = behind(bench, gate, bench.board, "far")
    known_hosts = bench.folder / "config" / "known_hosts"
    known_hosts.write_text(f"[{ADDRESS}]:{gate.port} {gate.host_key}")
    assert error_of(device.probe).kind == "host_key"
    entry = load_inventory(bench.folder / "inventory.yaml").entry("far")
    assert isinstance(entry, SshEntry)
    assert scan(entry).text in bench.board.host_key
    assert nothing_runs(gate)


def test_the_way_that_is_cut_in_an_upload_is_taken_again(bench: FaultBench, gate: Board) -> None:
    with CuttingProxy(gate.port, 1_000_000, "cut", times=1) as proxy:
        (device,) = behind(bench, gate, bench.board, "far", port=proxy.port)
        with device:
            folder = device.put({"weights.bin": bytes(range(256)) * 12_000})
            assert len(device.get(f"{folder}/weights.bin", 1 << 22)) == 3_072_000
            device.clean()
    assert bench.connects == ["gate", "gate"]
    assert nothing_runs(gate)
