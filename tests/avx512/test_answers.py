"""Right answers from AVX-512 code: nets at every level on 1 and 2 threads, bands, and what the runner's check of the CPU says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from fusekit.compiler.compile import Options, compile_model
from fusekit.compiler.fusion import LEVELS, Level
from fusekit.toolkit.reference import seeded_inputs
from fusekit.toolkit.zoo import export

from ..emulated.run_bundles import check_against_reference
from ..emulated.test_bands import banded, inverted_residual
from ..machine.nets import mini_net, save
from .graph_bundle import TARGET
from .guest import HASWELL, boot
from .image import Job


def assert_right(
    model: Path, folder: Path, levels: Sequence[Level], threads: Sequence[int], target: str = TARGET
) -> None:
    """Compile, run and compare every variant."""
    options = [Options(target, level, count) for level in levels for count in threads]
    bundles = [compile_model(model, chosen) for chosen in options]
    guest = boot([Job(bundle, seeded_inputs(bundle.manifest)) for bundle in bundles], folder)
    for chosen, bundle, got in zip(options, bundles, guest.outputs, strict=True):
        for check in check_against_reference(model, bundle, got):
            assert check.ok, f"{chosen.fusion}, {chosen.threads} threads, {check.name}: {check.detail}"


def test_mini_net_is_right(tmp_path: Path) -> None:
    assert_right(save(mini_net(), tmp_path / "mini.onnx"), tmp_path, LEVELS, threads=(1, 2, 5))


@pytest.mark.parametrize(("net", "levels"), [
    ("face_landmark_like", LEVELS),
    ("mobilenet_v2", ("full",)),  # ten seconds a level
])  # fmt: skip
def test_zoo_is_right(net: str, levels: Sequence[Level], tmp_path: Path) -> None:
    assert_right(export(net, tmp_path / "net.onnx"), tmp_path, levels, threads=(2,))


def test_vectors_of_half_a_register_are_right(tmp_path: Path) -> None:
    model = export("face_landmark_like", tmp_path / "net.onnx")
    assert_right(model, tmp_path, ("full",), threads=(2,), target="znver4")


def test_bands_are_bit_identical(tmp_path: Path) -> None:
    model = inverted_residual(tmp_path)
    bundles = [compile_model(model, Options(TARGET, threads=2, bands=bands)) for bands in (True, False)]
    assert [banded(bundle) for bundle in bundles] == [True, False]
    guest = boot([Job(bundle, seeded_inputs(bundle.manifest)) for bundle in bundles], tmp_path)
    on, off = (outputs["y"] for outputs in guest.outputs)
    assert on.tobytes() == off.tobytes()
    assert all(check.ok for check in check_against_reference(model, bundles[0], guest.outputs[0]))


def test_code_for_a_newer_cpu_is_refused(tmp_path: Path) -> None:
    bundle = compile_model(save(mini_net(), tmp_path / "mini.onnx"), Options(TARGET))
    guest = boot([Job(bundle, seeded_inputs(bundle.manifest))], tmp_path, cpu=HASWELL)
    assert guest.lines == (f"isa: this CPU lacks avx512f, which {bundle.manifest.symbol} needs",)
