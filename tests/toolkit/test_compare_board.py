"""Comparisons on a device: this machine stands for the board, with a Python that has the engines."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusekit import UserError, compile
from fusekit.devices import Completed, DeviceError
from fusekit.devices.local import LocalDevice
from fusekit.toolkit.cli import main
from fusekit.toolkit.compare import kit
from fusekit.toolkit.compare.board_answer import read_answer
from fusekit.toolkit.compare.interpreter import Interpreter, find_interpreter
from fusekit.toolkit.compare.lineup import lineup
from fusekit.toolkit.compare.on_device import Place, compare_on, prepare_place
from fusekit.toolkit.compare.record import Rules, read_engine_records
from fusekit.toolkit.compare.session import Subject, subject_of

from .fake_bundle import write_model
from .small_model import code, folder

__all__ = ["folder"]

CPU = min(os.sched_getaffinity(0))
RULES = Rules(cpus=(CPU,), rounds=2, turn_ms=1)
COURSE = {"version": "1", "first_output_ns": 5, "samples_ns": [[7, 8], [9]], "refusal": None}


class Emulated(LocalDevice):
    """As a board of the lab is: its programs run under an emulator."""

    emulated = True


class Scripted(LocalDevice):
    """A device whose programs end as a test says."""

    def __init__(self, folder: Path, run: Callable[[Sequence[str]], Completed]) -> None:
        super().__init__("board", "host", folder)
        self._run = run

    def run(self, argv: Sequence[str], *, cwd: str, timeout_s: float) -> Completed:
        assert timeout_s > 0
        return self._run(argv)


def python_says(**facts: object) -> Callable[[Sequence[str]], Completed]:
    """What a good interpreter says, but for these facts."""
    said = {"program": "/usr/bin/python3", "version": [3, 11], "machine": "aarch64", "bits": 64}
    said |= {"libc": ["glibc", "2.36"], "cpus": [0, 1, 2, 3], "has_numpy": False, **facts}
    return lambda argv: Completed(0, json.dumps(said).encode(), b"")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    model = write_model(tmp_path_factory.mktemp("model") / "small.onnx")
    return subject_of("small", model, None, compile(model), seed=0)


def test_engines_take_turns_on_a_device_and_are_checked_here(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"board-{os.getpid()}"
    (folder / "inventory.yaml").write_text(f"devices:\n  {name}: {{transport: local}}\n")
    options = [
        "--device",
        name,
        "--python",
        sys.executable,
        "--rounds",
        "3",
        "--turn-ms",
        "1",
        "-o",
        "r.jsonl",
    ]
    try:
        assert code("small.onnx", "--engines", "onnxruntime,fusekit-none,litert", *options) == 0
    finally:
        with pytest.raises(SystemExit):
            main(["devices", "clean", name])
    printed = capsys.readouterr()
    assert "litert not available: " in printed.out and "records: r.jsonl" in printed.err
    records = read_engine_records([folder / "r.jsonl"])
    assert [record.engine for record in records] == ["fusekit-full", "onnxruntime", "fusekit-none", "litert"]
    for record in records[:-1]:
        assert record.error is None and record.checks[0].ok and record.first_output_ns
        assert record.samples_ns is not None and len(record.samples_ns) == 3
        assert record.device is not None and record.device.name == name
    assert records[0].version == "fusekit 0.1.0" and records[1].version.startswith("onnxruntime ")


def test_an_emulated_device_is_checked_and_not_timed(subject: Subject, tmp_path: Path) -> None:
    device = Emulated("lab-pi5", "host", tmp_path)
    place = prepare_place(device, sys.executable, [])
    records = compare_on(place, subject, lineup("full", ["onnxruntime"]), RULES)
    for record in records:
        assert record.error is None and record.checks[0].ok and record.samples_ns is None
    with pytest.raises(ValueError, match="times under emulation are no times"):
        replace(records[0], samples_ns=((1,),))


def test_an_engine_that_is_wrong_there_has_no_number(subject: Subject, tmp_path: Path) -> None:
    place = prepare_place(LocalDevice("board", "host", tmp_path), sys.executable, [])
    wrong = replace(subject, want={"y": np.asarray(subject.want["y"]) + 1})
    (ours,) = compare_on(place, wrong, lineup("full", []), RULES)
    assert ours.samples_ns is None and ours.error is not None
    assert ours.error.kind == "check" and ours.error.message.startswith(
        "output 'y': 16 of 16 elements beyond"
    )


def test_a_device_that_is_lost_is_the_error_of_every_engine(subject: Subject, tmp_path: Path) -> None:
    def lose(argv: Sequence[str]) -> Completed:
        raise DeviceError("lost", "the connection to board was cut")

    place = place_on(Scripted(tmp_path, lose), absent={"onnxruntime": "pip finds no wheel of onnxruntime"})
    records = compare_on(place, subject, lineup("full", ["onnxruntime", "ncnn"]), RULES)
    assert {record.error.kind for record in records if record.error} == {"lost"} and len(records) == 3


def test_engines_without_a_wheel_are_listed_with_the_reason(subject: Subject, tmp_path: Path) -> None:
    device = LocalDevice("board", "host", tmp_path)
    place = replace(prepare_place(device, sys.executable, []), absent={"onnxruntime": "pip finds no wheel"})
    ours, theirs = compare_on(place, subject, lineup("full", ["onnxruntime"]), RULES)
    assert ours.samples_ns is not None
    assert theirs.error is not None and theirs.error.kind == "unavailable"
    assert theirs.error.message == "pip finds no wheel"


def place_on(device: LocalDevice, absent: dict[str, str]) -> Place:
    python = find_interpreter(Scripted(Path(), python_says()), "python3", "/")
    return Place(device, python, "/kit.zip", absent)


def test_a_device_without_a_python_that_will_do_is_told_what_to_install(tmp_path: Path) -> None:
    local = LocalDevice("board", "host", tmp_path)
    said = "board has no python4, which runs the other engines there: type `sudo apt install python3 python3-venv`"
    with pytest.raises(UserError, match=said):
        prepare_place(local, "python4", [])
    for answer, said in (
        (
            python_says(version=[3, 8]),
            r"^board has Python 3\.8, and a comparison there needs 3\.9 or newer: name",
        ),
        (python_says(bits=32), r"^p of board is no 64-bit Python for aarch64 or x86_64 \(bits 32\): install"),
        (python_says(machine="armv7l"), r"\(machine 'armv7l'\)"),
        (lambda argv: Completed(0, b"\x1b[31m", b""), r"^p of board is no 64-bit Python .* \(no answer\)"),
        (lambda argv: Completed(2, b"", b"x\nbad\x1b\n"), r"^p of board does not run \(bad\\x1b\)$"),
    ):
        with pytest.raises(UserError, match=said):
            find_interpreter(Scripted(tmp_path, answer), "p", "/")
    with pytest.raises(
        UserError, match="^p of board has no numpy: install it and the engines there, or leave --py"
    ):
        prepare_place(Scripted(tmp_path, python_says()), "p", [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({}, "the answer of board broke off or is damaged (nonce: Field required)"),
        ({"nonce": "other"}, "the answer of board is not that of this comparison"),
        ({"engines": {}}, "the answer of board is not that of this comparison"),
        ({"course": {**COURSE, "samples_ns": [[7]]}}, "the answer of board is not that of this comparison"),
        (
            {"course": {**COURSE, "samples_ns": [[7], [-1]]}},
            "the answer of board is not that of this comparison",
        ),
        ({"looks": [1]}, "the answer of board is not that of this comparison"),
        ({"looks": [1, 10**9]}, "the answer of board broke off or is damaged (engines.a.looks.1: "),
    ],
)
def test_a_damaged_answer_is_no_answer(line: dict[str, object], said: str, tmp_path: Path) -> None:
    told = {"looks": line.get("looks", [1, 1]), "course": line.get("course", COURSE)}
    whole = {"nonce": line.get("nonce", "n"), "engines": line.get("engines", {"a": told})}
    done = Completed(0, json.dumps(whole if line else {}).encode(), b"")
    with pytest.raises(DeviceError) as refused:
        read_answer(LocalDevice("board", "host", tmp_path), "/", done, "n", ["a"], rounds=2)
    assert refused.value.kind == "lost" and str(refused.value).startswith(said)


def test_outputs_of_a_device_are_arrays_of_numbers_within_bounds(tmp_path: Path) -> None:
    told = {"looks": [1, 1], "course": {**COURSE, "version": "1\x1b[2J"}}
    done = Completed(0, json.dumps({"nonce": "n", "engines": {"a": told}}).encode(), b"")
    device = LocalDevice("board", "host", tmp_path)
    answer = read_answer(device, str(tmp_path), done, "n", ["a"], rounds=2)
    assert answer.courses["a"].version == "1\\x1b[2J"
    (tmp_path / "out").mkdir()
    file, want = tmp_path / "out" / "0.0.0.npy", {"y": np.zeros(4, np.float32)}
    for array, kind in (
        (np.ones((1, 4), np.float32), None),
        (np.ones(10_000), "too_large"),
        (np.array(["text"]), "corrupt"),
    ):
        np.save(file, array)
        assert kind_of(lambda: answer.outputs("a", 0, want)) == kind
    for content in (b"", b"PK\x03\x04", file.read_bytes()[:20]):
        file.write_bytes(content)
        assert kind_of(lambda: answer.outputs("a", 0, want)) == "corrupt"


def kind_of(action: Callable[[], object]) -> str | None:
    """Of the DeviceError that it raises."""
    try:
        action()
    except DeviceError as error:
        return error.kind
    return None


def test_what_runs_on_a_board_is_written_for_python_3_9() -> None:
    package = Path(kit.__file__).parents[2]
    for module in kit.MODULES:
        ast.parse((package / f"{module}.py").read_text(encoding="utf-8"), feature_version=(3, 9))
    assert kit.kit() == kit.kit.__wrapped__()


@pytest.mark.usefixtures("folder")
def test_user_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    here = Interpreter("p", (3, 11), "aarch64", 64, ("glibc", "2.36"), (0,), True)
    assert str(here) == "Python 3.11 on aarch64 with glibc 2.36"
    for argv, text in (
        (["--python", "p"], "--python p is a Python of a device: name the device with --device"),
        (
            ["--device", "rpi5-emulated"],
            "rpi5-emulated runs single programs under an emulator and has no Python",
        ),
    ):
        assert code("small.onnx", *argv) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"error: {text}") and printed.err.count("\n") == 1
