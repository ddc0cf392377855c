"""Right answers from the machine code: every level, 1 and 2 threads, on emulated boards and on this machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from fusekit.toolkit.zoo import export

from ..machine.nets import inner_conv_net, mini_net, save
from .run_bundles import check_against_reference, run_bundles, variants

on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="host: this is no x86-64")


def assert_right(
    model: Path, target: str, cpu: str | None, folder: Path, threads: tuple[int, ...] = (1, 2)
) -> None:
    """Compile, run and compare every variant."""
    bundles = variants(model, target, threads)
    run = run_bundles(bundles, folder, cpu)
    assert run.exit_code == 0, run.messages
    for bundle, got in zip(bundles, run.outputs, strict=True):
        for check in check_against_reference(model, bundle, got):
            manifest = bundle.manifest
            assert check.ok, f"{manifest.fusion}, {manifest.threads} threads, {check.name}: {check.detail}"


@pytest.mark.parametrize(("target", "cpu"), [
    ("cortex-a53", "cortex-a53"),
    ("cortex-a55", "cortex-a76"),  # the same instruction set; not every QEMU has the A55
    ("cortex-a72", "cortex-a72"),
    ("cortex-a76", "cortex-a76"),
    ("neoverse-n1", "neoverse-n1"),
])  # fmt: skip
def test_mini_net_is_right_on_an_emulated_cpu(target: str, cpu: str, tmp_path: Path) -> None:
    assert_right(save(mini_net(), tmp_path / "mini.onnx"), target, cpu, tmp_path)


def test_groups_of_two_channels_are_right_on_an_emulated_cpu(tmp_path: Path) -> None:
    """Lanes across groups, with a tail of half a vector."""
    net = save(inner_conv_net(22, 22, 3, 9, group=11), tmp_path / "groups.onnx")
    assert_right(net, "cortex-a76", "cortex-a76", tmp_path)


@on_x86
def test_mini_net_is_right_without_multiply_add(tmp_path: Path) -> None:
    assert_right(save(mini_net(), tmp_path / "mini.onnx"), "x86-64-v2", None, tmp_path)


@on_x86
def test_mini_net_is_right_on_this_machine(tmp_path: Path) -> None:
    assert_right(save(mini_net(), tmp_path / "mini.onnx"), "host", None, tmp_path, threads=(1, 2, 5))


@pytest.mark.parametrize(("net", "board", "cpu"), [
    ("mobilenet_v2", "rpi5", "cortex-a76"),
    ("face_landmark_like", "rpi4", "cortex-a72"),
])  # fmt: skip
def test_zoo_is_right_on_an_emulated_board(net: str, board: str, cpu: str, tmp_path: Path) -> None:
    export(net, tmp_path / "net.onnx")
    assert_right(tmp_path / "net.onnx", board, cpu, tmp_path, threads=(2,))
