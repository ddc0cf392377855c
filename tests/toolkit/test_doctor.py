from __future__ import annotations

from dataclasses import replace

import pytest

from fusekit.devices import Lock
from fusekit.devices.device import Facts
from fusekit.devices.inventory import EmulatedEntry, SshEntry
from fusekit.toolkit.doctor import diagnose

from .fake_record import FACTS

PI = SshEntry(name="pi", transport="ssh", host="pi.local", user="pi", target="rpi5")
WELL = replace(
    FACTS,
    features=("asimd", "asimddp", "asimdhp", "atomics"),
    governors=("performance",),
    available_bytes=7 << 30,
    swap_used_bytes=0,
    disk_free_bytes=20 << 30,
    userland_bits=64,
    perf_event_paranoid=2,
)


def test_well_prepared_board_has_nothing_to_fix() -> None:
    assert diagnose(PI, WELL, None) == ()


def test_emulated_device_has_nothing_to_fix() -> None:
    entry = EmulatedEntry(name="e", transport="emulated", target="rpi5")
    assert diagnose(entry, replace(WELL, load1=9.0), None) == ()


def test_clock_of_a_board_that_is_never_timed_needs_no_fix() -> None:
    entry = PI.model_copy(update={"emulated": True})
    assert diagnose(entry, replace(WELL, governors=("ondemand",), temperature_mc=90_000), None) == ()


@pytest.mark.parametrize(
    ("facts", "problem", "fix"),
    [
        (
            replace(WELL, governors=("performance", "ondemand")),
            "the CPU governor is 'ondemand', so the clock moves with the load",
            "`echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`, until the next start",
        ),
        (
            replace(WELL, throttled="50005"),
            "the supply voltage was too low just now, the CPU was throttled just now (throttle bits 50005)",
            "power it by the supply that is made for it, over a short cable, then `sudo reboot`",
        ),
        (
            replace(WELL, throttled="0x80000"),
            "the soft temperature limit was reached since the last start (throttle bits 0x80000)",
            "give it a heat sink or a fan, then `sudo reboot`, which clears the bits",
        ),
        (
            replace(WELL, temperature_mc=71_500),
            "it is at 72 °C before any measurement",
            "let it cool down, or give it a heat sink or a fan; `cat /sys/class/thermal/thermal_zone0/temp` shows it",
        ),
        (
            replace(WELL, disk_free_bytes=100 << 20),
            "its disk has only 100.0 MiB left",
            "`fusekit devices clean pi`, `sudo apt-get clean`, or a larger card",
        ),
        (
            replace(WELL, perf_event_paranoid=3),
            "performance counters are closed to users (perf_event_paranoid is 3)",
            "`sudo sysctl kernel.perf_event_paranoid=2`, for `fusekit bench --counters`",
        ),
        (
            replace(WELL, load1=1.25),
            "other programs kept 1.2 of its 4 CPUs busy during the last minute",
            "`fusekit devices exec pi -- top -b -n 1` shows them: end them, or wait",
        ),
        (
            replace(WELL, userland_bits=32),
            "its system is a 32-bit one, and fusekit's code is for 64-bit systems",
            "write the 64-bit system to its card with Raspberry Pi Imager",
        ),
        (
            replace(WELL, model="Raspberry Pi 4 Model B", cpu_parts=("0xd08",), features=("asimd",)),
            "the target rpi5 of the inventory does not fit: it lacks asimddp, asimdhp, atomics",
            "write `target: rpi4` for pi in the inventory",
        ),
        (
            replace(WELL, arch="riscv64"),
            "the target rpi5 of the inventory does not fit: it is riscv64 and rpi5 is aarch64",
            "use another board: fusekit has no code for this one",
        ),
        (
            replace(WELL, available_bytes=100 << 20),
            "programs can have only 100.0 MiB of its memory",
            "end what fills it: `ps aux --sort=-rss | head` shows the largest",
        ),
        (
            replace(WELL, swap_used_bytes=300 << 20),
            "300.0 MiB of its memory are swapped out, and come back during measurements",
            "`sudo swapoff -a`, and `sudo swapon -a` afterwards",
        ),
    ],
)
def test_each_trouble_is_one_sentence_with_its_remedy(facts: Facts, problem: str, fix: str) -> None:
    (finding,) = diagnose(PI, facts, None)
    assert (finding.problem, finding.fix) == (problem, fix)


def test_device_in_use_is_not_called_busy() -> None:
    lock = Lock("ada at desk (bench, process 7)", held_s=5, left_s=60)
    (finding,) = diagnose(PI, replace(WELL, load1=4.0), lock)
    assert finding.problem == "it is in use by ada at desk (bench, process 7)"
    assert finding.fix.endswith("`fusekit devices unlock pi`")


def test_target_that_nobody_has_written_yet() -> None:
    (finding,) = diagnose(PI.model_copy(update={"target": "unknown"}), WELL, None)
    assert (finding.problem, finding.fix) == (
        "its target is not known yet",
        "write `target: rpi5` for pi in the inventory",
    )
