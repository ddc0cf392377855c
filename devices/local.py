"""This machine as a device: programs are child processes, files live under one folder."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Final, Self

from .child import run_child
from .client import is_running
from .complaint import complaint_error
from .device import OUTPUT_BYTES, Completed, DeviceError, Facts, Lock, Transport
from .ending import check_ending, timed_out, too_much
from .file_set import FileSet
from .lock import LockFile
from .probe import parse_probe, probe_script

_SCRIPT_S = 20.0
_RUN_FOLDER = re.compile(r"[0-9a-f]{16}(\.[0-9]+\.part)?")


class LocalDevice:
    """Runs programs on this machine; `folder` is created when needed and holds everything that is put."""

    emulated: bool = False
    transport: Transport = "local"

    def __init__(self, name: str, target: str, folder: Path) -> None:
        self.name: Final = name
        self.target: Final = target
        self._runs = folder / "runs"
        self._lock_file = LockFile(name, quote(str(folder)), self._ask)

    def put(self, files: Mapping[str, bytes]) -> str:
        wanted = FileSet.of(files)
        final = self._runs / wanted.digest
        if _holds(final, wanted):
            return str(final)
        part = self._runs / f"{wanted.digest}.{os.getpid()}.part"
        try:
            self._remove_abandoned()
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for name, content in wanted.files.items():
                (part / name).write_bytes(content)
                (part / name).chmod(wanted.mode(name))
            if not _holds(part, wanted):
                raise DeviceError("corrupt", f"{part} on {self.name} does not hold what was written to it")
            if not _holds(final, wanted):  # another process may have finished the same files meanwhile
                _replace_folder(part, final)
        except OSError as error:
            raise self._storage_error(error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return str(final)

    def run(self, argv: Sequence[str], *, cwd: str, timeout_s: float) -> Completed:
        program = argv[0]
        start = time.monotonic()
        try:
            ended = run_child(self._command(argv, Path(cwd)), Path(cwd), timeout_s, OUTPUT_BYTES)
        except OSError as error:
            raise self._start_error(program, cwd, error) from error
        done = Completed(ended.exit_code, ended.stdout, ended.stderr)
        if ended.why == "time":
            raise timed_out(self.name, program, timeout_s, done)
        if ended.why == "output":
            raise too_much(self.name, program, OUTPUT_BYTES)
        return check_ending(self.name, program, done, time.monotonic() - start, timeout_s)

    def get(self, path: str, limit_bytes: int) -> bytes:
        try:
            with Path(path).open("rb") as file:
                content = file.read(limit_bytes + 1)
        except OSError as error:
            raise DeviceError(
                "missing_file", f"{self.name} has no readable file {path}: {error.strerror}"
            ) from error
        if len(content) > limit_bytes:
            raise DeviceError("too_large", f"{path} on {self.name} is larger than {limit_bytes} bytes")
        return content

    def probe(self) -> Facts:
        done = subprocess.run(
            ["sh", "-c", probe_script(quote(str(self._runs)))], capture_output=True, timeout=20, check=False
        )
        return parse_probe(done.stdout.decode(errors="replace"))

    def lock(self, owner: str, *, for_s: float, wait_s: float = 0) -> AbstractContextManager[None]:
        return self._lock_file.hold(owner, for_s, wait_s)

    def locked(self) -> Lock | None:
        return self._lock_file.look()

    def unlock(self) -> Lock | None:
        return self._lock_file.force()

    def clean(self) -> int:
        self._lock_file.refuse_if_held()
        removed = 0
        for run in self._run_folders():
            if run.is_symlink():
                run.unlink()
                continue
            removed += sum(1 for path in run.rglob("*") if not path.is_dir())
            shutil.rmtree(run)
        for lock in self._runs.parent.glob("lock*"):
            lock.unlink()
        for folder in (self._runs, self._runs.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        return removed

    def close(self) -> None:
        """Nothing is held open between calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, script: str) -> str:
        done = subprocess.run(
            ["sh", "-c", f"export LC_ALL=C\n{script}"], capture_output=True, timeout=_SCRIPT_S, check=False
        )
        if done.returncode != 0:
            complaint = done.stderr.decode(errors="replace").strip()
            raise complaint_error(self.name, str(self._runs.parent), complaint, done.returncode)
        return done.stdout.decode(errors="replace")

    def _command(self, argv: Sequence[str], cwd: Path) -> list[str]:
        """Return the command line that runs `argv` here."""
        # Popen looks a relative program up from this process's folder before it enters cwd.
        return [str(cwd / argv[0]) if "/" in argv[0] else argv[0], *argv[1:]]

    def _run_folders(self) -> list[Path]:
        if not self._runs.is_dir():
            return []
        return sorted(path for path in self._runs.iterdir() if _RUN_FOLDER.fullmatch(path.name))

    def _remove_abandoned(self) -> None:
        for folder in self._run_folders():
            if folder.suffix != ".part" or is_running(int(folder.suffixes[0][1:])):
                continue
            shutil.rmtree(folder, ignore_errors=True)

    def _storage_error(self, error: OSError) -> DeviceError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return DeviceError(
                "disk_full",
                f"the disk of {self.name} is full at {self._runs}: free some space, or type "
                f"`fusekit devices clean {self.name}`",
            )
        return DeviceError("read_only", f"{self.name} cannot write to {self._runs}: {error.strerror}")

    def _start_error(self, program: str, cwd: str, error: OSError) -> DeviceError:
        if error.errno == errno.ENOEXEC:
            return DeviceError(
                "isa",
                f"{program} is built for another architecture than {self.name}, which is {platform.machine()}: "
                f"compile for its target, {self.target}",
            )
        if error.errno == errno.ENOENT:
            return DeviceError("missing_file", f"{self.name} has no program {program} in {cwd}")
        return DeviceError("failed", f"{program} does not start on {self.name}: {error.strerror}")


def _holds(folder: Path, wanted: FileSet) -> bool:
    """Whether a folder has every wanted file with the wanted content; it may have more, such as outputs."""
    if folder.is_symlink():
        return False
    for name, sha256 in wanted.sha256.items():
        path = folder / name
        if path.is_symlink() or not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            return False
    return True


def _replace_folder(part: Path, final: Path) -> None:
    """Rename `part` to `final`, in the place of a damaged folder; one that appears meanwhile has the same content."""
    if final.is_symlink():
        final.unlink()
    elif final.exists():
        shutil.rmtree(final)
    try:
        part.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
