"""A ratchet: the instructions that an inference executes on a Cortex-A76 may only fall."""

from __future__ import annotations

import pytest

from benchmarks.instructions import Peer, count, least_peers, line, main, read_table
from fusekit.errors import UserError

RISE, FALL = 1.001, 0.99
"""Room for what a new LLVM moves about, and how far the table may lie above what is counted."""

TABLE = read_table()


@pytest.mark.parametrize("model", TABLE)
def test_no_more_instructions_are_executed_than_before(model: str) -> None:
    try:
        found = count(model)
    except UserError as missing:
        pytest.skip(str(missing))
    most = TABLE[model]
    assert found <= most * RISE, (
        f"{model} executes {found:,} instructions, the table says {most:,}: make it fewer, or say in the commit what they "
        f"buy and run python -m benchmarks.instructions --write"
    )
    assert found >= most * FALL, (
        f"{model} executes {found:,} instructions, fewer than the {most:,} of the table: keep the gain with "
        f"python -m benchmarks.instructions --write"
    )


def test_the_least_peer_is_known_for_models_that_engines_were_counted_on() -> None:
    peers = least_peers()
    assert len(peers) == 9
    assert peers["resnet18"] == Peer("ncnn", 239.62e6)


def test_a_line_says_how_far_the_table_and_the_peer_are() -> None:
    text = line("m", 50_000_000, 100_000_000, Peer("mnn", 75e6))
    want = "m 50.000 M table 100.000 M (-50.00 %) mnn 75.00 M, 1.50 times ours"
    assert " ".join(text.split()) == want


def test_a_system_without_emulator_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["zoo:ds_cnn"])
    assert str(ended.value) == (
        "instructions: qemu-aarch64 is not installed: run tests/lab/install.sh, or install your system's qemu-user"
    )
