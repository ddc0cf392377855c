"""What about a device spoils measurements, and what to type to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..devices import DeviceEntry, Facts, Lock
from ..devices.entry import UNKNOWN_TARGET, EmulatedEntry, SshEntry
from .byte_size import byte_size
from .fitting_target import fitting_target, poor_fit
from .throttle import UNDER_VOLTAGE, throttle_bits, throttle_events

_HOT_AT_REST_MC = 70_000
_LOW_DISK_BYTES = 256 << 20
_LOW_MEMORY_BYTES = 256 << 20
_SWAPPED_BYTES = 64 << 20
_BUSY_LOAD = 0.5
_OPEN_TO_USERS = 2


@dataclass(frozen=True)
class Finding:
    """Something to mend: what is wrong, and the command or the step that mends it."""

    problem: str
    fix: str


def diagnose(entry: DeviceEntry, facts: Facts, lock: Lock | None) -> tuple[Finding, ...]:
    """Return what to mend on a device for good measurements, the gravest first; nothing where all is well."""
    if isinstance(entry, EmulatedEntry):
        return ()
    is_timed = not (isinstance(entry, SshEntry) and entry.emulated)
    timing = (*_power_and_heat(facts), *_clock(facts)) if is_timed else ()
    return (*_what_runs(entry, facts), *timing, *_room(entry, facts, lock))


def _what_runs(entry: DeviceEntry, facts: Facts) -> Iterator[Finding]:
    if facts.userland_bits == 32:
        yield Finding(
            "its system is a 32-bit one, and fusekit's code is for 64-bit systems",
            "write the 64-bit system to its card with Raspberry Pi Imager",
        )
        return
    best = fitting_target(facts)
    fix = (
        f"write `target: {best}` for {entry.name} in the inventory"
        if best
        else "use another board: fusekit has no code for this one"
    )
    if entry.target == UNKNOWN_TARGET:
        yield Finding("its target is not known yet", fix)
        return
    reason = poor_fit(facts, entry.target)
    if reason is not None:
        yield Finding(f"the target {entry.target} of the inventory does not fit: {reason}", fix)


def _power_and_heat(facts: Facts) -> Iterator[Finding]:
    events = throttle_events(facts.throttled)
    if events and throttle_bits(facts.throttled) & UNDER_VOLTAGE:
        yield Finding(
            f"{', '.join(events)} (throttle bits {facts.throttled})",
            "power it by the supply that is made for it, over a short cable, then `sudo reboot`",
        )
    elif events:
        yield Finding(
            f"{', '.join(events)} (throttle bits {facts.throttled})",
            "give it a heat sink or a fan, then `sudo reboot`, which clears the bits",
        )
    if facts.temperature_mc is not None and facts.temperature_mc >= _HOT_AT_REST_MC:
        yield Finding(
            f"it is at {facts.temperature_mc / 1000:.0f} °C before any measurement",
            "let it cool down, or give it a heat sink or a fan; `cat /sys/class/thermal/thermal_zone0/temp` shows it",
        )


def _clock(facts: Facts) -> Iterator[Finding]:
    moving = [governor for governor in facts.governors if governor != "performance"]
    if moving:
        yield Finding(
            f"the CPU governor is '{moving[0]}', so the clock moves with the load",
            "`echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`, until the next start",
        )
    if facts.perf_event_paranoid is not None and facts.perf_event_paranoid > _OPEN_TO_USERS:
        yield Finding(
            f"performance counters are closed to users (perf_event_paranoid is {facts.perf_event_paranoid})",
            f"`sudo sysctl kernel.perf_event_paranoid={_OPEN_TO_USERS}`, for `fusekit bench --counters`",
        )


def _room(entry: DeviceEntry, facts: Facts, lock: Lock | None) -> Iterator[Finding]:
    if lock is not None:
        yield Finding(
            f"it is in use by {lock.owner}",
            f"wait, or, if nothing of it is running any more, `fusekit devices unlock {entry.name}`",
        )
    elif facts.load1 is not None and facts.load1 > _BUSY_LOAD:
        yield Finding(
            f"other programs kept {facts.load1:.1f} of its {facts.n_cpus} CPUs busy during the last minute",
            f"`fusekit devices exec {entry.name} -- top -b -n 1` shows them: end them, or wait",
        )
    if facts.disk_free_bytes is not None and facts.disk_free_bytes < _LOW_DISK_BYTES:
        yield Finding(
            f"its disk has only {byte_size(facts.disk_free_bytes)} left",
            f"`fusekit devices clean {entry.name}`, `sudo apt-get clean`, or a larger card",
        )
    if facts.available_bytes is not None and facts.available_bytes < _LOW_MEMORY_BYTES:
        yield Finding(
            f"programs can have only {byte_size(facts.available_bytes)} of its memory",
            "end what fills it: `ps aux --sort=-rss | head` shows the largest",
        )
    elif facts.swap_used_bytes is not None and facts.swap_used_bytes > _SWAPPED_BYTES:
        yield Finding(
            f"{byte_size(facts.swap_used_bytes)} of its memory are swapped out, and come back during measurements",
            "`sudo swapoff -a`, and `sudo swapon -a` afterwards",
        )
