"""A new user with a new board: what docs/adding-a-device.md says, typed against a board that looks like a Raspberry Pi 5."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from fusekit.toolkit.cli import main

from .board import ADDRESS
from .fixtures import Lab, LabDevice

DOCUMENT = (Path(__file__).parents[2] / "docs" / "adding-a-device.md").read_text(encoding="utf-8")
FIRST_PART = DOCUMENT.partition("## The inventory")[0]
FIRMWARE = "sys/devices/platform/soc/soc:firmware"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[[str], Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Types a line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def call(line: str) -> Result:
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(line)[1:])
        printed = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, printed.out, printed.err)

    return call


def test_four_lines_add_a_board_and_two_commands_make_a_report(
    run: Run, lab: Lab, pi5: LabDevice, tmp_path: Path
) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", FIRST_PART, re.DOTALL)
    heading, *four_lines = block.splitlines()
    assert heading == "devices:" and len(four_lines) == 4
    inventory = yaml.safe_load(block)
    # The board is on loopback, at a port and with a key of its own, and an emulator.
    inventory["devices"]["rpi5"] |= {
        "host": ADDRESS,
        "port": pi5.board.port,
        "key": str(lab.key),
        "emulated": True,
    }
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    (pi5.config / "known_hosts").unlink()
    trust, bench, report = re.findall(r"^fusekit .+$", FIRST_PART, re.MULTILINE)
    bench = bench.replace("zoo:mobilenet_v2", "zoo:ds_cnn")  # the same path in a tenth of the time

    refused = run(bench)
    assert refused.code == 2 and f"type `{trust}`" in refused.err
    assert run(f"{trust} --yes").code == 0
    assert run(bench).code == 0
    failed, measured = sorted((tmp_path / "reports" / "records").iterdir())
    text = measured.read_text()
    assert "host_key" in failed.read_text()
    assert '"rpi5"' in text and not any(
        secret in text for secret in (ADDRESS, str(lab.key), f":{pi5.board.port}")
    )
    assert run(report).code == 0
    assert (tmp_path / "reports" / "rpi5.pdf").read_bytes().startswith(b"%PDF")
    cleaned = run("fusekit devices clean rpi5")
    assert re.fullmatch(r"rpi5: \d+ files removed\n", cleaned.out)


def test_probe_finds_the_target_of_a_board(run: Run, pi5: LabDevice) -> None:
    result = run(f"fusekit devices probe lab-pi5 --json --inventory {pi5.inventory}")
    facts = json.loads(result.out)["lab-pi5"]
    assert (facts["fitting_target"], facts["cpu_parts"], facts["userland_bits"]) == ("rpi5", ["0xd0b"], 64)
    assert facts["disk_free_bytes"] > 0


def test_doctor_names_what_is_wrong_with_a_board(run: Run, lab: Lab, tmp_path: Path) -> None:
    board = lab.board("ill")
    for name, text in {
        f"{FIRMWARE}/get_throttled": "50005\n",
        "sys/class/thermal/thermal_zone0/temp": "82300\n",
        "proc/loadavg": "3.10 1.00 0.50 2/180 1000\n",
        "proc/sys/kernel/perf_event_paranoid": "3\n",
    }.items():
        (board.root / name).parent.mkdir(parents=True, exist_ok=True)
        (board.root / name).write_text(text)
    (tmp_path / "config").mkdir()
    (tmp_path / "known_hosts").write_text(f"[{ADDRESS}]:{board.port} {board.host_key}")
    (tmp_path / "inventory.yaml").write_text(
        f"devices: {{ill: {{host: {ADDRESS}, port: {board.port}, user: pi, key: {lab.key}, target: rpi4, "
        "known_hosts: known_hosts}}"
    )
    result = run("fusekit devices doctor ill")
    assert result.code == 2
    assert [line.removeprefix("ill: ") for line in result.out.splitlines() if line.startswith("ill: ")] == [
        "the target rpi4 of the inventory does not fit: its own target is rpi5, and code for rpi4 is scheduled for another CPU",
        "the supply voltage was too low just now, the CPU was throttled just now (throttle bits 50005)",
        "it is at 82 °C before any measurement",
        "the CPU governor is 'ondemand', so the clock moves with the load",
        "performance counters are closed to users (perf_event_paranoid is 3)",
        "other programs kept 3.1 of its 4 CPUs busy during the last minute",
    ]
    assert result.out.count("\n  → ") == 6
