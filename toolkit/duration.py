"""How times are written for people: three significant digits and a unit."""


def duration(ns: float) -> str:
    """A time with three significant digits and its unit.

    >>> duration(1234567.0), duration(98765.0), duration(2.5e9)
    ('1.23 ms', '98.8 µs', '2.50 s')
    """
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= scale:
            return f"{_three_digits(ns / scale)} {unit}"
    return f"{ns:.0f} ns"


def interval(low_ns: float, high_ns: float) -> str:
    """Two times in the unit of the larger.

    >>> interval(950e3, 1234567.0)
    '0.950–1.23 ms'
    """
    text = duration(high_ns)
    number, unit = text.split(" ")
    scale = {"s": 1e9, "ms": 1e6, "µs": 1e3, "ns": 1.0}[unit]
    return f"{_three_digits(low_ns / scale)}–{number} {unit}"


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"
