"""A board that is reached over SSH: everything is under one folder there, and nothing is ever half there."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from shlex import quote
from types import TracebackType
from typing import Final, Self, TypeVar

from .complaint import complaint_error
from .connection import Answer, Connection
from .device import OUTPUT_BYTES, Completed, DeviceError, Facts, Lock, Transport
from .ending import check_ending, timed_out, too_much
from .entry import SshEntry
from .lock import LockFile
from .probe import parse_probe, probe_script
from .upload import RUN_GLOB, SCRIPT_S, Upload
from .work_folder import shell_word

_KILL_AFTER_S = 2
_NO_FOLDER, _NO_FILE = 125, 44
_T = TypeVar("_T")


class SshDevice:
    """The device of an SSH entry; connects when first used. One `put` at a time from one process."""

    transport: Transport = "ssh"

    def __init__(self, entry: SshEntry) -> None:
        self.name: Final = entry.name
        self.target: Final = entry.target
        self.emulated: Final = entry.emulated
        self._entry = entry
        self._connection: Connection | None = None
        self._folder = shell_word(entry.workdir)
        self._lock_file = LockFile(entry.name, self._folder, lambda script: self._ask(script, entry.workdir))

    def put(self, files: Mapping[str, bytes]) -> str:
        return self._once_more_if_lost(
            lambda: Upload(self.name, self.target, self._entry.workdir, files, self._connected()).carry_out()
        )

    def run(self, argv: Sequence[str], *, cwd: str, timeout_s: float) -> Completed:
        program = argv[0]
        start = time.monotonic()
        try:
            answer = self._connected().execute(
                run_script(argv, cwd, timeout_s),
                limit_s=timeout_s + _KILL_AFTER_S + 20,
                stdin_stays_open=True,
                limit_bytes=OUTPUT_BYTES,
            )
        except DeviceError as error:
            if error.kind == "timeout":
                raise timed_out(self.name, program, timeout_s) from error
            if error.kind == "too_large":
                raise too_much(self.name, program, OUTPUT_BYTES) from error
            raise
        self._check_started(answer, program, cwd)
        done = Completed(answer.exit_code, answer.stdout, answer.stderr)
        return check_ending(self.name, program, done, time.monotonic() - start, timeout_s)

    def get(self, path: str, limit_bytes: int) -> bytes:
        script = f"[ -f {quote(path)} ] || exit {_NO_FILE}\nhead -c {limit_bytes + 1} {quote(path)}"
        answer = self._once_more_if_lost(
            lambda: self._connected().execute(script, limit_s=SCRIPT_S, limit_bytes=limit_bytes + (1 << 16))
        )
        if answer.exit_code == _NO_FILE:
            raise DeviceError("missing_file", f"{self.name} has no file {path}")
        if answer.exit_code != 0:
            raise complaint_error(self.name, path, answer.complaint, answer.exit_code)
        if len(answer.stdout) > limit_bytes:
            raise DeviceError("too_large", f"{path} on {self.name} is larger than {limit_bytes} bytes")
        return answer.stdout

    def probe(self) -> Facts:
        script = probe_script(self._folder)
        answer = self._once_more_if_lost(lambda: self._connected().execute(script, limit_s=30))
        return parse_probe(answer.text)

    def lock(self, owner: str, *, for_s: float, wait_s: float = 0) -> AbstractContextManager[None]:
        return self._lock_file.hold(owner, for_s, wait_s)

    def locked(self) -> Lock | None:
        return self._lock_file.look()

    def unlock(self) -> Lock | None:
        return self._lock_file.force()

    def clean(self) -> int:
        self._lock_file.refuse_if_held()
        script = f"""cd {self._folder} 2>/dev/null || exit 0
rm -rf lock lock.*
[ ! -L runs ] || rm runs
if cd runs 2>/dev/null; then
  find {RUN_GLOB}* -type f 2>/dev/null | wc -l
  rm -rf {RUN_GLOB}* || exit 1
fi
cd / && rmdir {self._folder}/runs {self._folder} 2>/dev/null
exit 0"""
        removed = self._ask(script, self._entry.workdir).strip() or "0"
        if not re.fullmatch("[0-9]{1,15}", removed):
            raise DeviceError(
                "failed", f"{self.name} does not say how many files it removed, but {removed!r}"
            )
        return int(removed)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.alive:
            self.close()
        if self._connection is None:
            self._connection = Connection(self._entry)
        return self._connection

    def _ask(self, script: str, where: str) -> str:
        """Run a script that may run twice and must succeed; return its stdout. An error is explained as one at `where`."""
        answer = self._once_more_if_lost(
            lambda: self._connected().execute(f"export LC_ALL=C\n{script}", limit_s=SCRIPT_S)
        )
        if answer.exit_code != 0:
            raise complaint_error(self.name, where, answer.complaint, answer.exit_code)
        return answer.text

    def _once_more_if_lost(self, action: Callable[[], _T]) -> _T:
        """Do what leaves the same on the device however often it is done; once more where the connection was cut."""
        try:
            return action()
        except DeviceError as first:
            if first.kind != "lost":
                raise
            try:
                return action()
            except DeviceError as second:
                if second.kind not in ("lost", "unreachable"):
                    raise
                raise DeviceError("lost", f"{first} (tried twice)") from second

    def _check_started(self, answer: Answer, program: str, cwd: str) -> None:
        if answer.exit_code == _NO_FOLDER and not answer.stderr:
            raise DeviceError("missing_file", f"{self.name} has no folder {cwd}")
        if answer.exit_code == 127 and program in answer.complaint:
            raise DeviceError("missing_file", f"{self.name} has no program {program} in {cwd}")


def run_script(argv: Sequence[str], cwd: str, timeout_s: float) -> str:
    """Return the script that runs a program to its end, its time limit, or the end of the connection.

    The script's stdin ends with the connection: that wakes the reader, which ends the program. Where the server does not
    notice that the line is dead, the time limit does it. What the program left running in its group ends with it: a `timeout` that
    is told to end before it knows its child's number ends alone.
    """
    command = " ".join(quote(word) for word in argv)
    return f"""export LC_ALL=C; ulimit -c 0; cd {quote(cwd)} 2>/dev/null || exit {_NO_FOLDER}
exec 3<&0
timeout -k {_KILL_AFTER_S} {math.ceil(timeout_s)} {command} </dev/null 3<&- &
run=$!
{{ read -r never <&3; kill $run; sleep {_KILL_AFTER_S}; kill -9 $run -$run; }} >/dev/null 2>&1 </dev/null &
reader=$!
wait $run
code=$?
kill $reader
kill -9 -$run 2>/dev/null
exit $code"""
