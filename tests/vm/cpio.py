"""An archive in the format that Linux unpacks as its first file system: cpio "newc", made without root."""

from __future__ import annotations

import stat
from pathlib import PurePosixPath


class Cpio:
    """Collects files under paths without a leading slash; folders above them are added by themselves."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._n_entries = 0
        self._folders: set[PurePosixPath] = {PurePosixPath(".")}

    def folder(self, path: str, mode: int = 0o755) -> None:
        self._folder(PurePosixPath(path), mode)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        self._add(path, stat.S_IFREG | mode, data)

    def link(self, path: str, target: str) -> None:
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int) -> None:
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def finished(self) -> bytes:
        self._write("TRAILER!!!", 0)
        return bytes(self._content)

    def _folder(self, path: PurePosixPath, mode: int = 0o755) -> None:
        if path in self._folders:
            return
        self._folders.add(path)
        self._add(str(path), stat.S_IFDIR | mode)

    def _add(self, path: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._folder(PurePosixPath(path).parent)
        self._write(path, mode, data, device)

    def _write(self, path: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self._n_entries += 1
        name = path.encode() + b"\0"
        owner, group, links, changed, disk, checksum = 0, 0, 1, 0, (0, 0), 0
        numbers = (self._n_entries, mode, owner, group, links, changed, len(data), *disk, *device, len(name))
        self._content += b"070701" + b"".join(b"%08X" % number for number in (*numbers, checksum)) + name
        self._pad()
        self._content += data
        self._pad()

    def _pad(self) -> None:
        self._content += bytes(-len(self._content) % 4)
