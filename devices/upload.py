"""Files to a board: a folder named for their content appears there whole, or not at all.

They go to `runs/<digest>.<client>.part/`, each as NAME.part; the board's own sha256sum confirms each, and one rename
gives the folder its final name. What a cut connection leaves behind, the next upload removes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote

from .client import client_id, is_dead, is_this_process
from .complaint import complaint_error
from .connection import Connection
from .device import DeviceError
from .elf import program_arch
from .file_set import EXECUTABLE_NAMES, FileSet
from .work_folder import make_and_enter, shell_word

RUN_GLOB = "[0-9a-f]" * 16
# For a script that only looks, hashes or renames on the board.
SCRIPT_S = 120.0
# Room for outputs and for the file system's own use, beyond the files themselves.
_SPARE_BYTES = 1 << 19
_GONE = 46
_RUN_FILE = re.compile(r"[0-9a-f]{16}/([^/]+)")
_PART = re.compile(r"[0-9a-f]{16}\.([0-9a-f]{8}-[0-9]+)\.part")


@dataclass(frozen=True)
class _Survey:
    """The runs folder of a board: SHA-256 by path of files that may be wanted, abandoned uploads of this machine."""

    runs: str
    machine: str
    sha256: Mapping[str, str]
    abandoned: tuple[str, ...]


class Upload:
    """One upload of `files` to the work folder of a device, over one connection."""

    def __init__(
        self, device: str, target: str, workdir: str, files: Mapping[str, bytes], connection: Connection
    ) -> None:
        self._device = device
        self._target = target
        self._workdir = workdir
        self._wanted = FileSet.of(files)
        self._connection = connection

    def carry_out(self) -> str:
        """Return the folder's absolute path there."""
        wanted = self._wanted
        found = self._survey()
        if found.abandoned:
            self._ask(f"cd {quote(found.runs)} && rm -rf {' '.join(found.abandoned)}", found.runs)
        final = f"{found.runs}/{wanted.digest}"
        if all(
            found.sha256.get(f"{wanted.digest}/{name}") == sha256 for name, sha256 in wanted.sha256.items()
        ):
            return final
        self._check_programs(found.machine)
        sources = {
            name: path
            for path, sha256 in found.sha256.items()
            if (name := _wanted_name(path)) and wanted.sha256.get(name) == sha256
        }
        missing = [name for name in wanted.files if name not in sources]
        part = f"{found.runs}/{wanted.digest}.{client_id()}.part"
        try:
            free_bytes = self._begin(part, sources)
            self._check_space(found.runs, sum(len(wanted.files[name]) for name in missing), free_bytes)
            for name in missing:
                self._send(f"{part}/{name}", wanted.files[name], wanted.sha256[name])
            self._finish(part, final, missing)
        except BaseException:
            # Over a dead connection this cannot work; then the next upload removes it.
            if self._connection.alive:
                with suppress(DeviceError):
                    self._connection.execute(f"rm -rf {quote(part)}", limit_s=20)
            raise
        return final

    def _ask(self, script: str, where: str) -> str:
        """Run a script that must succeed and return its stdout; an error is explained as one at `where`."""
        answer = self._connection.execute(f"export LC_ALL=C\n{script}", limit_s=SCRIPT_S)
        if answer.exit_code != 0:
            raise complaint_error(self._device, where, answer.complaint, answer.exit_code)
        return answer.text

    def _survey(self) -> _Survey:
        """Make the runs folder and look at what is in it."""
        digest, names = self._wanted.digest, " ".join(self._wanted.files)
        # Others' uploads are old by the clock, which may have jumped: one that loses its folder is sent again.
        # A file of the same name in the newest other run is often the same: then it is linked, not sent.
        script = f"""for tool in sha256sum timeout df; do
  command -v $tool >/dev/null || {{ echo "missing $tool"; exit 0; }}
done
{make_and_enter(shell_word(self._workdir))}
[ ! -L runs ] || {{ echo "runs is a symbolic link, which fusekit never makes" >&2; exit 1; }}
mkdir -p runs && cd runs || exit 1
echo "machine $(uname -m)"
echo "folder $(pwd -P)"
find . -maxdepth 1 -name '*.part' -mmin +60 -exec rm -rf {{}} + 2>/dev/null
for part in *.part; do [ -d "$part" ] && echo "part $part"; done
for name in {names}; do
  newest=$(ls -t {RUN_GLOB}/$name 2>/dev/null | head -n 1)
  for file in {digest}/$name $newest; do
    [ -f $file ] && [ ! -L $file ] && [ ! -L ${{file%/*}} ] && echo "file $(sha256sum $file)"
  done
done
exit 0"""
        answer = self._ask(script, self._workdir)
        lines = [line.partition(" ")[::2] for line in answer.splitlines()]
        said = dict(lines)
        if "missing" in said:
            raise DeviceError(
                "missing_tool",
                f"{self._device} has no command `{said['missing']}`: install coreutils or busybox there",
            )
        if "folder" not in said or "machine" not in said:
            raise DeviceError(
                "failed", f"{self._device} does not describe its work folder, but says {answer!r}"
            )
        hashes = [rest.split() for word, rest in lines if word == "file"]
        return _Survey(
            runs=said["folder"],
            machine=said["machine"],
            sha256={
                columns[1]: columns[0] for columns in hashes if len(columns) == 2
            },  # else it was unreadable
            abandoned=tuple(rest for word, rest in lines if word == "part" and _is_abandoned(rest)),
        )

    def _check_programs(self, machine: str) -> None:
        """Refuse a program for another architecture; a board's `timeout` would run it as a shell script."""
        for name in EXECUTABLE_NAMES & self._wanted.files.keys():
            arch = program_arch(self._wanted.files[name])
            if arch is not None and arch != machine:
                raise DeviceError(
                    "isa",
                    f"{name} is built for {arch}, but {self._device} is {machine}: is its `target` in the inventory, "
                    f"{self._target}, right?",
                )

    def _check_space(self, runs: str, needed_bytes: int, free_bytes: int) -> None:
        if needed_bytes + _SPARE_BYTES <= free_bytes:
            return
        raise DeviceError(
            "disk_full",
            f"the disk of {self._device} is full: {runs} has {free_bytes / 1e6:.1f} MB left and {needed_bytes / 1e6:.1f} MB "
            f"are to be sent: free some space, or type `fusekit devices clean {self._device}`",
        )

    def _begin(self, part: str, sources: Mapping[str, str]) -> int:
        """Make the upload folder with the files that need not be sent, and return the free bytes there."""
        links = "".join(f"ln ../{path} . || cp -p ../{path} . || exit 1\n" for path in sources.values())
        answer = self._ask(f"mkdir {quote(part)} && cd {quote(part)} || exit 1\n{links}df -Pk .", part)
        columns = answer.splitlines()[-1].split() if answer else []
        if len(columns) < 4 or not re.fullmatch("[0-9]{1,15}", columns[3]):
            raise DeviceError(
                "failed", f"{self._device} does not say how much space is left: `df -Pk` gives {answer!r}"
            )
        return int(columns[3]) * 1024

    def _send(self, path: str, content: bytes, sha256: str) -> None:
        folder, _, name = path.rpartition("/")
        script = f"cd {quote(folder)} 2>/dev/null || exit {_GONE}; cat > {name}.part && sha256sum {name}.part"
        answer = self._connection.execute(f"export LC_ALL=C; {script}", limit_s=SCRIPT_S, stdin=content)
        if answer.exit_code == _GONE:
            raise DeviceError(
                "lost",
                f"what was sent to {self._device} was removed while more was sent: did somebody clean it, or its clock jump?",
            )
        if answer.exit_code != 0:
            raise complaint_error(self._device, path, answer.complaint, answer.exit_code)
        if answer.text.split(maxsplit=1)[:1] != [sha256]:
            raise DeviceError(
                "corrupt",
                f"{name} arrived damaged on {self._device}: type the command again; if it repeats, suspect the "
                "board's memory card",
            )

    def _finish(self, part: str, final: str, sent: Sequence[str]) -> None:
        steps = [f"cd {quote(part)}"]
        for name in sent:
            steps += [f"chmod {self._wanted.mode(name):o} {name}.part", f"mv {name}.part {name}"]
        # If another client finishes the same files in between, mv puts the folder into its one: then theirs is kept.
        inside = quote(f"{final}/{_file_name(part)}")
        steps += ["cd ..", f"rm -rf {quote(final)}", f"mv {quote(part)} {quote(final)}", f"rm -rf {inside}"]
        self._ask(" && ".join(steps), final)


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _wanted_name(path: str) -> str | None:
    """Return the name of a file of an earlier run; None for what is no such path, whatever the device says."""
    match = _RUN_FILE.fullmatch(path)
    return match[1] if match else None


def _is_abandoned(part: str) -> bool:
    """Whether an upload folder is ours and its process is gone, or this one, which is not sending now."""
    match = _PART.fullmatch(part)
    return match is not None and (is_this_process(match[1]) or is_dead(match[1]))
