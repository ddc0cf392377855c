"""One command on several devices: in turn where they are measured, all at once where they are asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import typer

from ...devices import Device, DeviceEntry, open_device
from ...devices.entry import ask_for_passwords
from ...errors import UserError
from .screen import one_line, progress

T = TypeVar("T")
_AT_ONCE = 16


def in_turn(entries: Sequence[DeviceEntry], act: Callable[[Device], None]) -> None:
    """Run `act` on one device after the other.

    With several, the sentence of one that fails goes to stderr, the others follow, and the worst exit code comes at
    the end; one alone fails as `act` does.
    """
    if len(entries) == 1:
        with open_device(entries[0]) as device:
            act(device)
        return
    worst = 0
    for entry in entries:
        try:
            with open_device(entry) as device:
                act(device)
        except UserError as error:
            worst = _tell(entry, error)
        except typer.Exit as ended:
            worst = max(worst, ended.exit_code)
    if worst:
        raise typer.Exit(worst)


def at_once(
    entries: Sequence[DeviceEntry],
    ask: Callable[[Device], T],
    tell: Callable[[DeviceEntry, T], None],
    doing: str,
) -> None:
    """Ask all devices at the same time and `tell` each answer, in the order of the devices; errors as `in_turn`."""
    ask_for_passwords(entries)
    worst = 0
    with ThreadPoolExecutor(min(_AT_ONCE, len(entries))) as pool:
        answers = [pool.submit(_ask_one, entry, ask) for entry in entries]
        with progress() as shown:
            task = shown.add_task(doing, total=len(entries))
            for answer in answers:
                answer.add_done_callback(lambda _: shown.advance(task))
            results = [_wait(answer, answers) for answer in answers]
    for entry, result in zip(entries, results, strict=True):
        if not isinstance(result, UserError):
            tell(entry, result)
        elif len(entries) == 1:
            raise result
        else:
            worst = _tell(entry, result)
    if worst:
        raise typer.Exit(worst)


def _ask_one(entry: DeviceEntry, ask: Callable[[Device], T]) -> T | UserError:
    try:
        with open_device(entry) as device:
            return ask(device)
    except UserError as error:
        return error


def _wait(answer: Future[T | UserError], all_answers: Sequence[Future[T | UserError]]) -> T | UserError:
    try:
        return answer.result()
    except BaseException:
        for other in all_answers:
            other.cancel()
        raise


def _tell(entry: DeviceEntry, error: UserError) -> int:
    sentence = one_line(error)
    name = "" if entry.name in sentence else f"{entry.name}: "
    print(f"error: {name}{sentence}", file=sys.stderr)
    return 2
