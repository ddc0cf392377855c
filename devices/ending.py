"""How a program ended: an exit code as a shell reports it, turned into a result or one sentence."""

from __future__ import annotations

import signal

from .device import Completed, DeviceError

_WHY = {
    signal.SIGILL: "it met an instruction that this CPU does not have: is the device's `target` right?",
    signal.SIGSEGV: "it touched memory that is not its own",
    signal.SIGBUS: "it touched memory that is not there, or a file shrank under it",
    signal.SIGKILL: "something ended it: most often the system ran out of memory",
}
# `timeout` itself ends with 124; a program that it had to end shows 143 (SIGTERM) or 137 (SIGKILL).
_TIMEOUT_CODES = frozenset({124, 128 + signal.SIGTERM, 128 + signal.SIGKILL})


def check_ending(device: str, program: str, done: Completed, elapsed_s: float, timeout_s: float) -> Completed:
    """Return `done` if the program ended by itself; raise kind "timeout" or "crash" otherwise.

    `done.exit_code` follows the shell: 128 + signal for a program that a signal ended.
    """
    if elapsed_s >= timeout_s and done.exit_code in _TIMEOUT_CODES:
        raise timed_out(device, program, timeout_s, done)
    if done.exit_code <= 128:
        return done
    number = done.exit_code - 128
    try:
        caught = signal.Signals(number)
    except ValueError:
        return done
    why = f": {_WHY[caught]}" if caught in _WHY else ""
    raise DeviceError("crash", f"{program} on {device} died of {caught.name}{why}", completed=done)


def timed_out(device: str, program: str, timeout_s: float, done: Completed | None = None) -> DeviceError:
    """Describe a program that was ended at its limit."""
    return DeviceError(
        "timeout",
        f"{program} on {device} was still running after {timeout_s:g} s and was ended",
        completed=done,
    )


def too_much(device: str, program: str, limit_bytes: int) -> DeviceError:
    """Describe a program that was ended because it wrote too much."""
    return DeviceError(
        "too_large", f"{program} on {device} wrote more than {limit_bytes} bytes and was ended"
    )
