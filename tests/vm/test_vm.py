"""fusekit against a board that is emulated in full: its own kernel, SSH server, counters and power switch."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import fusekit
from fusekit.devices import Device, DeviceError, load_inventory, open_device
from fusekit.toolkit.cli import main
from fusekit.toolkit.measure.record import Settings
from fusekit.toolkit.measure.session import deploy
from fusekit.toolkit.measure.stage import stage, timing_arguments
from fusekit.toolkit.reference import seeded_inputs

from ..lab.cutting_proxy import CuttingProxy
from .fixtures import Boot, describe
from .machine import Machine

MODEL = "zoo:ds_cnn"
LANES = 4
SCRIPT = b"#!/bin/sh\n"


def test_probe_shows_a_cortex_a76_under_a_real_kernel(device: Device) -> None:
    facts = device.probe()
    assert (facts.arch, facts.n_cpus, facts.cpu_parts) == ("aarch64", 1, ("0xd0b",))
    assert facts.kernel.endswith("-arm64")
    assert {"asimddp", "asimdhp", "atomics"} <= set(facts.features)


def test_deploy_verifies_and_leaves_it_ready_to_run(
    inventory: Path, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    main_ends_well("deploy", MODEL, "--device", "vm", "--inventory", str(inventory))
    said = capsys.readouterr().out
    assert "ds_cnn is on vm in /home/pi/.cache/fusekit/runs/" in said
    command = said.partition("run it there: ")[2].replace("\n", "")
    done = device.run(["sh", "-c", f"{command} --check-only"], cwd="/home/pi", timeout_s=60)
    assert (done.exit_code, json.loads(done.stdout.splitlines()[-1])["ok"]) == (0, True)


def test_counters_of_the_cpu_are_read_and_repeat(device: Device) -> None:
    bundle = fusekit.compile(MODEL, target="rpi5")
    first, second = (counts_per_run(device, bundle) for _ in range(2))
    multiply_adds = sum(kernel.flops for kernel in bundle.manifest.kernels) / 2
    # A multiply-add of four lanes is an instruction; loads, addresses and loops are at most as many again and a half.
    assert multiply_adds / LANES < first["instructions"] < 2.5 * multiply_adds / LANES
    # This CPU's clock is its instructions.
    assert first["cycles"] == pytest.approx(first["instructions"], rel=0.05)
    assert second["instructions"] == pytest.approx(first["instructions"], rel=0.01)


@pytest.mark.parametrize(
    ("break_it", "mend_it"),
    [
        (Machine.freeze, Machine.thaw),
        (lambda machine: machine.plug(False), lambda machine: machine.plug(True)),
    ],
    ids=["frozen", "unplugged"],
)
def test_board_that_falls_silent_in_a_run_is_lost_and_works_again_afterwards(
    break_it: Callable[[Machine], None],
    mend_it: Callable[[Machine], None],
    device: Device,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fusekit.devices.connection.DEAD_AFTER_S", 3)
    folder = device.put({"runner": SCRIPT + b"sleep 30\n"})
    fault = threading.Timer(1, break_it, [machine])
    fault.start()
    with pytest.raises(DeviceError) as caught:
        device.run(["./runner"], cwd=folder, timeout_s=30)
    fault.join()
    mend_it(machine)
    assert caught.value.kind == "lost"
    assert "it did not answer for 3 s" in str(caught.value)
    assert device.get(f"{folder}/runner", 100) == SCRIPT + b"sleep 30\n"


def test_power_cut_in_an_upload_is_lost_and_the_upload_after_the_boot_is_whole(
    boot: Boot, user_key: Path, tmp_path: Path
) -> None:
    machine = boot("power")
    files = {"weights.bin": bytes(range(256)) * 8_000}
    with CuttingProxy(machine.port, 500_000, machine.cut_power, times=1) as proxy:
        inventory = describe(machine, user_key, tmp_path, proxy.port)
        with open_device(load_inventory(inventory).entry("vm")) as device:
            with pytest.raises(DeviceError) as caught:
                device.put(files)
            assert caught.value.kind == "lost"
            with machine:
                assert device.get(f"{device.put(files)}/weights.bin", 1 << 23) == files["weights.bin"]


def counts_per_run(device: Device, bundle: fusekit.Bundle) -> Mapping[str, float]:
    """Events of one run of the model as the device's own kernel counts them."""
    settings = Settings(warmup=1, rounds=1, round_ms=1, min_samples=3, profile=0, counters=True)
    lying = deploy(device, stage([bundle], seeded_inputs(bundle.manifest)))
    argv = ["./runner", "--nonce", secrets.token_hex(4), *lying.arguments, *timing_arguments(settings)]
    done = device.run(argv, cwd=lying.folder, timeout_s=120)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    counted = next(message for message in messages if message["type"] == "counters")
    assert counted["reason"] is None
    return {name: count / counted["runs"] for name, count in counted["counts"].items()}


def main_ends_well(*arguments: str) -> None:
    try:
        main(arguments)
    except SystemExit as ended:
        assert not ended.code
