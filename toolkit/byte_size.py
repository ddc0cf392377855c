"""How sizes are written for people: KiB or MiB."""


def byte_size(count: int) -> str:
    """A size with one decimal.

    >>> byte_size(16 << 10), byte_size(3 << 19)
    ('16.0 KiB', '1.5 MiB')
    """
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
