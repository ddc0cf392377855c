"""A program for a newer CPU does not die on an older one: the runner says what is missing before calling into the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusekit.compiler.compile import Options, compile_model

from ..machine.nets import mini_net, save
from .run_bundles import run_bundles


@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a72"])
def test_code_for_a_newer_cpu_is_refused(cpu: str, tmp_path: Path) -> None:
    model = save(mini_net(), tmp_path / "mini.onnx")
    run = run_bundles([compile_model(model, Options(target="rpi5"))], tmp_path, cpu)
    assert run.exit_code == 3
    error = next(message for message in run.messages if message["type"] == "error")
    assert error["kind"] == "isa"
    assert "asimddp" in error["message"]
    assert not any(message["type"] == "variant" for message in run.messages)


def test_code_for_an_older_cpu_is_taken(tmp_path: Path) -> None:
    model = save(mini_net(), tmp_path / "mini.onnx")
    assert run_bundles([compile_model(model, Options(target="rpi3"))], tmp_path, "cortex-a76").exit_code == 0
