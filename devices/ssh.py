"""A board that is reached over SSH: everything is under one folder there, and nothing is ever half there.

A set of files goes to `runs/<digest>.<client>.part/`, each as NAME.part; the board's own sha256sum confirms it, and
one rename gives the folder its final name. What a cut connection leaves behind, the next `put` removes.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Final, NoReturn, Self

from .connection import Answer, Connection
from .device import Completed, DeviceError, Facts, Transport
from .elf import program_arch
from .ending import check_ending, timed_out
from .file_set import EXECUTABLE_NAMES, FileSet
from .inventory import SshEntry
from .probe import PROBE_SCRIPT, parse_probe

# For a script that only looks, hashes or renames on the board.
_SCRIPT_S = 120.0
_KILL_AFTER_S = 2
# Room for outputs and for the file system's own use, beyond the files themselves.
_SPARE_BYTES = 1 << 19
_RUN_GLOB = "[0-9a-f]" * 16
_PART = re.compile(r"[0-9a-f]{16}\.([0-9a-f]{8})-([0-9]+)\.part")
_NO_FOLDER, _NO_FILE = 125, 44


@dataclass(frozen=True)
class _Survey:
    """The runs folder of a board: SHA-256 by path of files that may be wanted, abandoned uploads of this machine."""

    runs: str
    machine: str
    sha256: Mapping[str, str]
    abandoned: tuple[str, ...]


class SshDevice:
    """The device of an SSH entry; connects when first used. One `put` at a time from one process."""

    transport: Transport = "ssh"

    def __init__(self, entry: SshEntry, known_hosts: Path) -> None:
        self.name: Final = entry.name
        self.target: Final = entry.target
        self.emulated: Final = entry.emulated
        self._entry = entry
        self._known_hosts = known_hosts
        self._connection: Connection | None = None

    def put(self, files: Mapping[str, bytes]) -> str:
        wanted = FileSet.of(files)
        found = self._survey(wanted)
        if found.abandoned:
            self._ask(f"cd {quote(found.runs)} && rm -rf {' '.join(found.abandoned)}", found.runs)
        final = f"{found.runs}/{wanted.digest}"
        if all(
            found.sha256.get(f"{wanted.digest}/{name}") == sha256 for name, sha256 in wanted.sha256.items()
        ):
            return final
        self._check_programs(wanted, found.machine)
        sources = {
            _file_name(path): path
            for path, sha256 in found.sha256.items()
            if wanted.sha256[_file_name(path)] == sha256
        }
        missing = [name for name in wanted.files if name not in sources]
        part = f"{found.runs}/{wanted.digest}.{_client()}-{os.getpid()}.part"
        try:
            free_bytes = self._begin(part, sources)
            self._check_space(found.runs, sum(len(wanted.files[name]) for name in missing), free_bytes)
            for name in missing:
                self._upload(f"{part}/{name}", wanted.files[name], wanted.sha256[name])
            self._finish(part, final, wanted, missing)
        except BaseException:
            # Over a dead connection this cannot work; then the next put removes it.
            if self._connection is not None and self._connection.alive:
                with suppress(DeviceError):
                    self._connection.execute(f"rm -rf {quote(part)}", limit_s=20)
            raise
        return final

    def run(self, argv: Sequence[str], *, cwd: str, timeout_s: float) -> Completed:
        program = argv[0]
        command = " ".join(quote(word) for word in argv)
        # The last `exit` keeps the shell from becoming the program: then a death by signal has an exit code.
        script = (
            f"export LC_ALL=C; ulimit -c 0; cd {quote(cwd)} 2>/dev/null || exit {_NO_FOLDER}\n"
            f"timeout -k {_KILL_AFTER_S} {math.ceil(timeout_s)} {command}\nexit $?"
        )
        start = time.monotonic()
        try:
            answer = self._connected().execute(script, limit_s=timeout_s + _KILL_AFTER_S + 20)
        except DeviceError as error:
            if error.kind == "timeout":
                raise timed_out(self.name, program, timeout_s) from error
            raise
        self._check_started(answer, program, cwd)
        done = Completed(answer.exit_code, answer.stdout, answer.stderr)
        return check_ending(self.name, program, done, time.monotonic() - start, timeout_s)

    def get(self, path: str, limit_bytes: int) -> bytes:
        script = f"[ -f {quote(path)} ] || exit {_NO_FILE}\nhead -c {limit_bytes + 1} {quote(path)}"
        answer = self._connected().execute(script, limit_s=_SCRIPT_S, limit_bytes=limit_bytes + (1 << 16))
        if answer.exit_code == _NO_FILE:
            raise DeviceError("missing_file", f"{self.name} has no file {path}")
        if answer.exit_code != 0:
            self._fail(answer, path)
        if len(answer.stdout) > limit_bytes:
            raise DeviceError("too_large", f"{path} on {self.name} is larger than {limit_bytes} bytes")
        return answer.stdout

    def probe(self) -> Facts:
        return parse_probe(self._connected().execute(PROBE_SCRIPT, limit_s=30).text)

    def clean(self) -> int:
        folder = _shell_word(self._entry.workdir)
        script = (
            f"cd {folder}/runs 2>/dev/null || exit 0\n"
            f"find {_RUN_GLOB}* -type f 2>/dev/null | wc -l\n"
            f"rm -rf {_RUN_GLOB}* || exit 1\n"
            f"cd / && rmdir {folder}/runs {folder} 2>/dev/null\nexit 0"
        )
        return int(self._ask(script, self._entry.workdir) or 0)

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
            self._connection = Connection(self._entry, self._known_hosts)
        return self._connection

    def _ask(self, script: str, where: str) -> str:
        """Run a script that must succeed and return its stdout; an error is explained as one at `where`."""
        answer = self._connected().execute(f"export LC_ALL=C\n{script}", limit_s=_SCRIPT_S)
        if answer.exit_code != 0:
            self._fail(answer, where)
        return answer.text

    def _survey(self, wanted: FileSet) -> _Survey:
        """Make the runs folder and look at what is in it."""
        names = " ".join(wanted.files)
        # A file of the same name in the newest other run is often the same: then it is linked, not sent.
        script = f"""for tool in sha256sum timeout df; do
  command -v $tool >/dev/null || {{ echo "missing $tool"; exit 0; }}
done
mkdir -p {_shell_word(self._entry.workdir)}/runs && cd {_shell_word(self._entry.workdir)}/runs || exit 1
echo "machine $(uname -m)"
echo "folder $(pwd -P)"
find . -maxdepth 1 -name '*.part' -mmin +60 -exec rm -rf {{}} + 2>/dev/null
for part in *.part; do [ -d "$part" ] && echo "part $part"; done
for name in {names}; do
  newest=$(ls -t {_RUN_GLOB}/$name 2>/dev/null | head -n 1)
  for file in {wanted.digest}/$name $newest; do [ -f $file ] && echo "file $(sha256sum $file)"; done
done
exit 0"""
        answer = self._ask(script, self._entry.workdir)
        lines = [line.partition(" ")[::2] for line in answer.splitlines()]
        hashes = [rest.split() for word, rest in lines if word == "file"]
        for word, rest in lines:
            if word == "missing":
                raise DeviceError(
                    "missing_tool", f"{self.name} has no command `{rest}`: install coreutils or busybox there"
                )
        return _Survey(
            runs=next(rest for word, rest in lines if word == "folder"),
            machine=next(rest for word, rest in lines if word == "machine"),
            sha256={
                columns[1]: columns[0] for columns in hashes if len(columns) == 2
            },  # else it was unreadable
            abandoned=tuple(rest for word, rest in lines if word == "part" and _is_abandoned(rest)),
        )

    def _check_programs(self, wanted: FileSet, machine: str) -> None:
        """Refuse a program for another architecture; a board's `timeout` would run it as a shell script."""
        for name in EXECUTABLE_NAMES & wanted.files.keys():
            arch = program_arch(wanted.files[name])
            if arch is not None and arch != machine:
                raise DeviceError(
                    "isa",
                    f"{name} is built for {arch}, but {self.name} is {machine}: is its `target` in the inventory, "
                    f"{self.target}, right?",
                )

    def _check_space(self, runs: str, needed_bytes: int, free_bytes: int) -> None:
        if needed_bytes + _SPARE_BYTES <= free_bytes:
            return
        raise DeviceError(
            "disk_full",
            f"the disk of {self.name} is full: {runs} has {free_bytes / 1e6:.1f} MB left and {needed_bytes / 1e6:.1f} MB "
            f"are to be sent: free some space, or type `fusekit devices clean {self.name}`",
        )

    def _begin(self, part: str, sources: Mapping[str, str]) -> int:
        """Make the upload folder with the files that need not be sent, and return the free bytes there."""
        links = "".join(f"ln ../{path} . || cp -p ../{path} . || exit 1\n" for path in sources.values())
        answer = self._ask(f"mkdir {quote(part)} && cd {quote(part)} || exit 1\n{links}df -Pk .", part)
        columns = answer.splitlines()[-1].split()
        if len(columns) < 4 or not columns[3].isdigit():
            raise DeviceError(
                "failed", f"{self.name} does not say how much space is left: `df -Pk` gives {answer!r}"
            )
        return int(columns[3]) * 1024

    def _upload(self, path: str, content: bytes, sha256: str) -> None:
        part = quote(f"{path}.part")
        answer = self._connected().execute(
            f"export LC_ALL=C; cat > {part} && sha256sum {part}", limit_s=_SCRIPT_S, stdin=content
        )
        if answer.exit_code != 0:
            self._fail(answer, path)
        if answer.text.split(maxsplit=1)[:1] != [sha256]:
            raise DeviceError(
                "corrupt",
                f"{_file_name(path)} arrived damaged on {self.name}: type the command again; if it repeats, suspect the "
                "board's memory card",
            )

    def _finish(self, part: str, final: str, wanted: FileSet, sent: Sequence[str]) -> None:
        steps = [f"cd {quote(part)}"]
        for name in sent:
            steps += [f"chmod {wanted.mode(name):o} {name}.part", f"mv {name}.part {name}"]
        # If another client finishes the same files in between, mv puts the folder into its one: then theirs is kept.
        inside = quote(f"{final}/{_file_name(part)}")
        steps += ["cd ..", f"rm -rf {quote(final)}", f"mv {quote(part)} {quote(final)}", f"rm -rf {inside}"]
        self._ask(" && ".join(steps), final)

    def _check_started(self, answer: Answer, program: str, cwd: str) -> None:
        if answer.exit_code == _NO_FOLDER and not answer.stderr:
            raise DeviceError("missing_file", f"{self.name} has no folder {cwd}")
        if answer.exit_code == 127 and program in answer.complaint:
            raise DeviceError("missing_file", f"{self.name} has no program {program} in {cwd}")

    def _fail(self, answer: Answer, where: str) -> NoReturn:
        complaint = answer.complaint or f"exit code {answer.exit_code}"
        if "No space left" in complaint or "quota exceeded" in complaint:
            raise DeviceError(
                "disk_full",
                f"the disk of {self.name} is full at {where}: free some space, or type "
                f"`fusekit devices clean {self.name}`",
            )
        if "Read-only file system" in complaint or "Permission denied" in complaint:
            raise DeviceError(
                "read_only",
                f"{self.name} cannot write to {where} ({complaint.splitlines()[-1]}): give another `workdir` for "
                f"{self.name} in the inventory",
            )
        raise DeviceError("failed", f"{self.name} answers at {where}: {complaint.splitlines()[-1]}")


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _shell_word(folder: str) -> str:
    """Quote a folder for the shell there, which alone knows its home."""
    return f'"$HOME"/{quote(folder[2:])}' if folder.startswith("~/") else quote(folder)


def _client() -> str:
    """Name this machine and user, so that nobody removes what somebody else is sending."""
    return hashlib.sha256(f"{socket.gethostname()} {os.getuid()}".encode()).hexdigest()[:8]


def _is_abandoned(part: str) -> bool:
    """Whether an upload folder is ours and its process is gone, or this one, which is not sending now."""
    match = _PART.fullmatch(part)
    if match is None or match[1] != _client():
        return False
    pid = int(match[2])
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
