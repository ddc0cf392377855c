"""The Raspberry Pi firmware's throttle bits, in words."""

from __future__ import annotations

# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_EVENTS = (
    "the supply voltage was too low",
    "the clock was capped",
    "the CPU was throttled",
    "the soft temperature limit was reached",
)
_SINCE_START = 16
UNDER_VOLTAGE = 0x10001


def throttle_events(throttled: str | None) -> tuple[str, ...]:
    """Say what the bits tell, which are hexadecimal; nothing for none and for a board without them.

    >>> throttle_events("0x50001")
    ('the supply voltage was too low just now', 'the CPU was throttled since the last start')
    """
    bits = throttle_bits(throttled)
    told = []
    for index, event in enumerate(_EVENTS):
        if bits >> index & 1:
            told.append(f"{event} just now")
        elif bits >> (_SINCE_START + index) & 1:
            told.append(f"{event} since the last start")
    return tuple(told)


def throttle_bits(throttled: str | None) -> int:
    """The bits as a number."""
    return int(throttled, 16) if throttled else 0
