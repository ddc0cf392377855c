"""What in a record's circumstances makes its times less trustworthy, each in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from .record import RunRecord

HOT_MC = 80_000
DRIFT = 0.05


def caveats(records: Sequence[RunRecord]) -> list[str]:
    """The distinct caveats of timed records, in a fixed order."""
    timed = [record for record in records if record.samples_ns is not None]
    found: dict[str, None] = {}
    for record in timed:
        for caveat in _of_one(record):
            found[caveat] = None
    return list(found)


def _of_one(record: RunRecord) -> list[str]:
    before, after = record.host_before, record.host_after
    name = record.device.name
    found: list[str] = []
    if before is None or after is None:
        return found
    if before.governor is None:
        found.append(f"{name}: the CPU governor is not visible, so the clock may have moved unseen.")
    elif before.governor != "performance":
        found.append(
            f"{name}: the CPU governor is '{before.governor}', not 'performance': the clock may move."
        )
    if before.freq_khz and after.freq_khz and abs(after.freq_khz / before.freq_khz - 1) > DRIFT:
        found.append(
            f"{name}: the clock moved from {before.freq_khz // 1000} to {after.freq_khz // 1000} MHz."
        )
    if after.throttled not in (None, "0", "0x0"):
        found.append(f"{name}: the firmware reports throttling (bits {after.throttled}).")
    if after.temp_mc is not None and after.temp_mc >= HOT_MC:
        found.append(f"{name}: the CPU was at {after.temp_mc / 1000:.0f} °C after the runs.")
    if before.load1 is not None and before.n_cpus and before.load1 > before.n_cpus / 2:
        found.append(f"{name}: other programs were running (a load of more than half of its CPUs).")
    if before.n_cpus is not None and record.threads > before.n_cpus:
        found.append(f"{name}: {record.threads} threads shared {before.n_cpus} CPUs.")
    return found
