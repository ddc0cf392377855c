"""Which of the compiler's targets fits a device, and why one does not."""

from __future__ import annotations

import re

from ..compiler.target import TARGETS, Target, find_target
from ..devices.device import Facts
from ..devices.emulated import CPU_OF_TARGET

_CPU_OF_PART = {cpu.part: cpu.name for cpu in CPU_OF_TARGET.values()}
_BOARD = re.compile(r"Raspberry Pi (\d)\b")


def fitting_target(facts: Facts) -> str | None:
    """Return the name of the best target for a device; None where code of none runs there.

    Its CPU's own where the table has it, by the board's name where the board has one; for an unknown CPU the last of
    the table whose instructions it has. Of cores of several kinds the last in the table counts: the big ones.
    """
    running = [target for target in TARGETS.values() if misfit(facts, target) is None]
    cpus = {_CPU_OF_PART[part] for part in facts.cpu_parts if part in _CPU_OF_PART}
    own = [target.name for target in running if target.name in cpus or target.family in facts.cpu_parts]
    if own:
        return _board(facts, own[-1]) or own[-1]
    plain = [target.name for target in running if target.name == target.cpu and not target.family]
    return plain[-1] if plain else None


def cpu_name(part: str) -> str:
    """A "CPU part" number with the CPU's name, where it is known.

    >>> cpu_name("0xd0b"), cpu_name("0xfff")
    ('cortex-a76 (0xd0b)', '0xfff')
    """
    return f"{_CPU_OF_PART[part]} ({part})" if part in _CPU_OF_PART else part


def misfit(facts: Facts, target: Target) -> str | None:
    """Say why code for a target does not run on a device; None where it does."""
    if facts.userland_bits == 32:
        return "its system is a 32-bit one"
    if facts.arch != target.arch:
        return f"it is {facts.arch or 'of an unknown architecture'} and {target.name} is {target.arch}"
    lacking = [feature for feature in target.features if feature not in facts.features]
    return f"it lacks {', '.join(lacking)}" if lacking else None


def poor_fit(facts: Facts, name: str) -> str | None:
    """Say why `name` is not the target to compile for on a device; None where it fits, or nothing fits better."""
    target = find_target(name)
    reason = misfit(facts, target)
    if reason is not None:
        return reason
    best = fitting_target(facts)
    if name == "host" or best is None or TARGETS[best].cpu == target.cpu:
        return None
    return f"its own target is {best}, and code for {name} is scheduled for another CPU"


def _board(facts: Facts, cpu: str) -> str | None:
    """The target that has the name of a Raspberry Pi, if it has this CPU."""
    board = _BOARD.match(facts.model)
    name = f"rpi{board[1]}" if board else ""
    return name if name in TARGETS and TARGETS[name].cpu == cpu else None
