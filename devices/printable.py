"""Text that came from a device, made safe for a terminal, a record and a report."""

from __future__ import annotations

import unicodedata

# Control and format characters: terminal escapes, and marks that turn the reading direction of what follows.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_LIMIT = 2000


def printable(text: str) -> str:
    r"""Return `text` as one line that is not too long, its control characters spelled out.

    >>> printable("red \x1b[31m\n")
    'red \\x1b[31m\\x0a'
    """
    return _spelled_out(text if len(text) <= _LIMIT else f"{text[:_LIMIT]}…", keep="")


def printable_lines(output: bytes) -> str:
    r"""Return what a program wrote as text, every control character but line ends and tabs spelled out.

    >>> printable_lines(b"a\tb\n\xff\x07")
    'a\tb\n\ufffd\\x07'
    """
    return _spelled_out(output.decode("utf-8", "replace"), keep="\n\t")


def _spelled_out(text: str, keep: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\x{ord(c):02x}" if c not in keep and unicodedata.category(c) in _UNSAFE else c for c in text
    )
