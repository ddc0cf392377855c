"""The one folder on a device that fusekit writes to, as its shell finds and enters it."""

from __future__ import annotations

from shlex import quote

NOT_OURS = "belongs to somebody else"


def shell_word(folder: str) -> str:
    """Quote a folder for the shell there, which alone knows its home.

    >>> shell_word("~/it's mine")
    '"$HOME"/\\'it\\'"\\'"\\'s mine\\''
    """
    return f'"$HOME"/{quote(folder[2:])}' if folder.startswith("~/") else quote(folder)


def make_and_enter(folder: str) -> str:
    """Return the lines of a script that make the folder (a `shell_word`) and enter it, or end with an error.

    Who owns the folder could replace what runs there.
    """
    return f"""(umask 077; mkdir -p {folder}) && cd {folder} || exit 1
[ -O . ] || {{ echo 'it {NOT_OURS}' >&2; exit 1; }}
"""
