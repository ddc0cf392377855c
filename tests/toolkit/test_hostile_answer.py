"""What a broken or hostile device may answer in the place of the runner: it is recorded as a failure, never believed."""

from __future__ import annotations

import json

import pytest

from fusekit.devices import Completed
from fusekit.toolkit.measure.collect import Collected, collect

from .fake_device import HOST_LINE

VARIANT = {"type": "variant", "symbol": "m", "threads": 1, "load_ns": 5, "first_run_ns": 9}
END = {"type": "end", "nonce": "n", "ok": True}


def collected(*messages: object) -> Collected:
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    return collect(Completed(0, "\n".join(lines).encode(), b""), "n")


def test_an_honest_answer_is_taken() -> None:
    samples = {"type": "samples", "symbol": "m", "round": 0, "ns": [5, 6]}
    assert collected(HOST_LINE, VARIANT, samples, END).failure is None


@pytest.mark.parametrize(
    "message",
    [
        [],
        "{",
        "[" * 100_000,
        {"type": "samples", "symbol": "other", "round": 0, "ns": [1]},
        {"type": "samples", "symbol": "m", "round": 0, "ns": [-1]},
        {"type": "samples", "symbol": "m", "round": 0, "ns": ["1"]},
        {"type": "samples", "symbol": "m", "round": 0, "ns": 7},
        {"type": "samples", "symbol": "m", "round": 0, "ns": [1 << 63]},
        {"type": "steps", "symbol": "m", "ns": [[1.5]]},
        '{"type": "samples", "symbol": "m", "round": 0, "ns": [NaN]}',
        {**HOST_LINE, "n_cpus": "many"},
        {**HOST_LINE, "arch": 7},
    ],
)
def test_a_damaged_answer_is_a_lost_one(message: object) -> None:
    failure = collected(HOST_LINE, VARIANT, message, END).failure
    assert failure is not None
    assert failure.kind == "lost"
    assert failure.message.startswith("the runner's answer broke off or is damaged (")


def test_no_text_of_a_device_moves_the_cursor() -> None:
    escape = "\x1b]0;title\x07"
    said = collected({**HOST_LINE, "governor": escape}, VARIANT, END)
    assert said.host_before is not None
    assert said.host_before.governor == r"\x1b]0;title\x07"
    failure = collected({"type": "error", "kind": escape, "message": f"{escape}\r\nok"}).failure
    assert failure is not None
    assert failure.kind == r"\x1b]0;title\x07"
    assert failure.message == r"\x1b]0;title\x07\x0d\x0aok"
    unknown = collected({"type": escape}).failure
    assert unknown is not None and unknown.message.isprintable()
    ended = collect(Completed(1, b"", b"first\n\x1b[31mred"), "n").failure
    assert ended is not None
    assert ended.message == r"the runner ended with exit code 1: \x1b[31mred"
