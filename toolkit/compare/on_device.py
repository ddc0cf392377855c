"""A session on a board: everything is sent there, the engines take turns there, and their answers are checked here."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ...devices.client import signature
from ...devices.device import Device, DeviceError
from ...errors import UserError
from ..measure.record import DeviceId, Failure
from ..measure.session import CHECK_TIMEOUT_S, TRANSFER_S, TURN_WAIT_S
from .board_answer import BoardAnswer, read_answer
from .contest import Course
from .engine import Engine
from .environment import INSTALL_S, make_environment
from .interpreter import ASK_S, Interpreter, find_interpreter
from .kit import KIT, kit
from .message import Refusal
from .parcel import Parcel, pack
from .record import EngineRecord, Rules
from .session import Subject, Verdict, blank_record, filled, verdict_on

SETTLE_S = 180.0
"""For an engine to load the model and to answer twice."""
SLACK_S = 10.0
"""Beyond the length of a turn: a model of 2 s runs five times in it."""
PYTHON = "python3"


@dataclass(frozen=True)
class Place:
    """A device that is ready for sessions: its Python with packages in it, and why others are not."""

    device: Device
    python: Interpreter
    kit: str
    """Path of the program there."""
    absent: Mapping[str, str]


def prepare_place(device: Device, program: str | None, engines: Collection[Engine]) -> Place:
    """Makes an environment with the packages of the engines there, or takes that of the interpreter `program` as it is.

    Raises UserError where the device has no Python that will do, and DeviceError; the device is locked meanwhile.
    """
    if device.transport == "emulated":
        raise UserError(
            f"{device.name} runs single programs under an emulator and has no Python for other engines: name a board"
        )
    owner = signature("preparing a comparison")
    with device.lock(owner, for_s=2 * ASK_S + INSTALL_S + TRANSFER_S, wait_s=TURN_WAIT_S):
        folder = device.put({KIT: kit()})
        python = find_interpreter(device, program or PYTHON, folder)
        if program is not None:
            if not python.has_numpy:
                raise UserError(
                    f"{program} of {device.name} has no numpy: install it and the engines there, or leave --python out"
                )
            return Place(device, python, f"{folder}/{KIT}", {})
        packages = {name for engine in engines for name in _packages(engine)}
        made = make_environment(device, python, sorted(packages))
        return Place(device, replace(python, program=made.program), f"{folder}/{KIT}", made.absent)


def compare_on(
    place: Place, subject: Subject, engines: Mapping[str, Engine], rules: Rules
) -> list[EngineRecord]:
    """As `session.compare`, on a device that is locked meanwhile; where that fails, every engine's record says how.

    On an emulated device outputs are checked and nothing is timed. Raises UserError where fusekit does not compile the model,
    and DeviceError where the device cannot be had.
    """
    device = place.device
    if device.emulated:
        rules = replace(rules, rounds=0)
    absent = _absent(place, engines)
    parcel = pack(subject, {name: engines[name] for name in engines if name not in absent}, rules)
    absent |= parcel.absent
    settle_s = CHECK_TIMEOUT_S if device.emulated else SETTLE_S
    limit_s = len(engines) * (settle_s + rules.rounds * (rules.turn_ms / 1000 + SLACK_S))
    owner = signature(f"comparing {subject.name}")
    with device.lock(owner, for_s=limit_s + TRANSFER_S, wait_s=TURN_WAIT_S):
        identity = DeviceId(device.name, device.transport, device.target, device.emulated)
        blank = blank_record(subject, rules, device.probe(), identity)
        try:
            answer = _carry_out(place, subject, parcel, rules, limit_s)
        except DeviceError as error:
            failure = Failure(error.kind, str(error))
            return [replace(blank, engine=name, error=failure) for name in engines]
        records = {name: _record(blank, name, answer, subject) for name in parcel.engines}
    for name, reason in absent.items():
        course = Course(refusal=Refusal("unavailable", reason))
        records[name] = filled(replace(blank, engine=name), course, Verdict())
    return [records[name] for name in engines]


def _packages(engine: Engine) -> tuple[str, ...]:
    """What the engine needs there: models are converted here."""
    return tuple(name for name in engine.distributions if name != "pnnx")


def _absent(place: Place, engines: Mapping[str, Engine]) -> dict[str, str]:
    """Why engines have no package there, by name of the engine."""
    return {
        name: place.absent[package]
        for name, engine in engines.items()
        for package in _packages(engine)
        if package in place.absent
    }


def _carry_out(place: Place, subject: Subject, parcel: Parcel, rules: Rules, limit_s: float) -> BoardAnswer:
    """Sends the parcel and has its work done; raises DeviceError."""
    folder = place.device.put(parcel.files)
    nonce = secrets.token_hex(8)
    done = place.device.run([place.python.program, place.kit, nonce], cwd=folder, timeout_s=limit_s)
    return read_answer(place.device, folder, done, nonce, tuple(parcel.engines), rules.rounds)


def _record(blank: EngineRecord, name: str, answer: BoardAnswer, subject: Subject) -> EngineRecord:
    """The record of an engine that was sent; its outputs are fetched and checked, all looks at them."""
    verdict = Verdict()
    for look in range(answer.looks(name)):
        try:
            verdict = verdict_on(answer.outputs(name, look, subject.want), subject)
        except DeviceError as error:
            verdict = Verdict(error=Failure(error.kind, str(error)))
        if verdict.error is not None:
            break
    return filled(replace(blank, engine=name), answer.courses[name], verdict)
