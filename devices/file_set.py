"""The files of one `put`: their names checked, their content named by one hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

EXECUTABLE_NAMES = frozenset({"runner"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class FileSet:
    """Files by name, with the SHA-256 of each in hexadecimal and the folder name that follows from all of them."""

    files: Mapping[str, bytes]
    sha256: Mapping[str, str]
    digest: str

    @staticmethod
    def of(files: Mapping[str, bytes]) -> FileSet:
        """Hash the files.

        >>> FileSet.of({"runner": b"", "a.bin": b"x"}).digest == FileSet.of({"a.bin": b"x", "runner": b""}).digest
        True
        """
        for name in files:
            if not _NAME.fullmatch(name) or name.endswith(".part"):
                raise ValueError(f"{name!r} is not a plain file name")
        sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
        lines = "".join(f"{sha256[name]}  {name}\n" for name in sha256)
        return FileSet(dict(sorted(files.items())), sha256, hashlib.sha256(lines.encode()).hexdigest()[:16])

    def mode(self, name: str) -> int:
        """Return the permission bits that a file gets on the device."""
        return 0o755 if name in EXECUTABLE_NAMES else 0o644
