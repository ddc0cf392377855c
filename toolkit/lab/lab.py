"""A lab: a folder of boards that run until it is taken down, and the inventory through which fusekit reaches them.

lab.json      which boards there are; written first, so that nothing is ever started and forgotten
lab.yaml      the inventory
id_ed25519    the user key of all boards
known_hosts   their host keys, trusted since they were made here
boards/NAME   a board, with the process that it is
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import yaml

from ...errors import UserError
from .board import ADDRESS, PROCESS, Board, free_port, launches_held, make_key
from .board_model import find_model
from .needs import missing
from .process import Process
from .rootfs import USER

INVENTORY = "lab.yaml"
_BOARDS, _RECORD, _KEY, _KNOWN_HOSTS = "boards", "lab.json", "id_ed25519", "known_hosts"
_NAME = re.compile(r"lab-[a-z0-9]+-[0-9]+")
_INVENTORY_HEAD = (
    "# The emulated boards of `fusekit lab up`. `fusekit lab down` ends them and removes this file.\n"
)


@dataclass(frozen=True)
class LabBoard:
    """A board of a lab: its name in the inventory, its CPU and its port on loopback."""

    name: str
    cpu: str
    port: int


@dataclass(frozen=True)
class Lab:
    """The boards of a folder, running or not."""

    folder: Path
    boards: tuple[LabBoard, ...]

    @property
    def inventory(self) -> Path:
        return self.folder / INVENTORY

    def runs(self, board: LabBoard) -> bool:
        """Whether a board runs; it does not after this machine has started again."""
        process = self._process(board)
        return process is not None and process.runs

    def down(self) -> int:
        """End every board, remove all that `lab_up` made and return how many boards ran."""
        ran = sum(self._end(board) for board in self.boards)
        for name in (INVENTORY, _KEY, f"{_KEY}.pub", _KNOWN_HOSTS, ".gitignore", _RECORD):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # what is not the lab's stays
            (self.folder / _BOARDS).rmdir()
            self.folder.rmdir()
        return ran

    def place(self, board: LabBoard) -> Path:
        """Return the folder of a board."""
        return self.folder / _BOARDS / board.name

    def _end(self, board: LabBoard) -> bool:
        """End a board, remove its folder and return whether it ran."""
        folder = self.place(board)
        if not folder.exists():
            return False
        with launches_held(folder):
            process = self._process(board)
            ran = process is not None and process.runs
            if process is not None:
                process.end()
            shutil.rmtree(folder)
        return ran

    def _process(self, board: LabBoard) -> Process | None:
        return Process.read(self.place(board) / PROCESS)


def lab_up(folder: Path, cpus: Sequence[str], count: int) -> Lab:
    """Start `count` boards that take their CPUs in turn from `cpus`, and write their inventory.

    Raises UserError where this machine cannot, where the folder has a lab, and where a board does not start; then
    nothing is left.
    """
    reason = missing()
    if reason is not None:
        raise UserError(reason)
    folder = folder.absolute()
    if (folder / _RECORD).exists():
        known = find_lab(folder)
        running = sum(known.runs(board) for board in known.boards)
        raise UserError(
            f"{folder} has a lab of {len(known.boards)} boards already, of which {running} run: type "
            f"`fusekit lab down --folder {folder}` first, or give another --folder"
        )
    lab = Lab(folder, tuple(_plan(cpus, count)))
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"{folder} holds other files, which `fusekit lab down` could remove: give a new folder with --folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot hold a lab ({error.strerror}): give another --folder") from error
    (folder / _RECORD).write_text(json.dumps([asdict(board) for board in lab.boards], indent=1))
    try:
        _start(lab)
    except BaseException as error:
        lab.down()
        if isinstance(error, RuntimeError):
            raise UserError(str(error).splitlines()[-1]) from error
        raise
    return lab


def find_lab(folder: Path) -> Lab:
    """Return the lab of a folder; raises UserError where there is none."""
    folder = folder.absolute()
    record = folder / _RECORD
    try:
        boards = tuple(
            LabBoard(str(board["name"]), str(board["cpu"]), int(board["port"]))
            for board in json.loads(record.read_text())
        )
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"there is no lab in {folder}: type `fusekit lab up`, or give the --folder of one"
        ) from None
    except (ValueError, TypeError, KeyError):
        boards = ()
    if not all(_NAME.fullmatch(board.name) for board in boards) or not boards:
        raise UserError(
            f"{record} is damaged: end the boards yourself (their pids are in {folder / _BOARDS}/*/{PROCESS}) and remove "
            f"{folder}"
        )
    return Lab(folder, boards)


def _plan(cpus: Sequence[str], count: int) -> Iterator[LabBoard]:
    """Name `count` boards and give each a port."""
    seen: Counter[str] = Counter()
    ports: set[int] = set()
    for cpu in islice(cycle(find_model(cpu).cpu for cpu in cpus), count):
        seen[cpu] += 1
        port = free_port(ports)
        ports.add(port)
        yield LabBoard(f"lab-{cpu.removeprefix('cortex-')}-{seen[cpu]}", cpu, port)


def _start(lab: Lab) -> None:
    authorized = make_key(lab.folder / _KEY)
    (lab.folder / _BOARDS).mkdir()
    boards = []
    with ExitStack() as unless_all_start:
        for planned in lab.boards:
            board = Board(
                lab.place(planned),
                authorized,
                cpu=planned.cpu,
                hostname=planned.name,
                port=planned.port,
                tied=False,
            )
            unless_all_start.callback(board.stop)
            board.launch()
            boards.append(board)
        for board in boards:
            board.wait()
        unless_all_start.pop_all()
    (lab.folder / ".gitignore").write_text("*\n")  # there is a private key in here
    known = "".join(f"[{ADDRESS}]:{board.port} {board.host_key}" for board in boards)
    (lab.folder / _KNOWN_HOSTS).write_text(known)
    lab.inventory.write_text(_INVENTORY_HEAD + yaml.safe_dump(_inventory(lab), sort_keys=False))
    _give_to_sudo_user(lab.folder)


def _inventory(lab: Lab) -> dict[str, object]:
    defaults = {"user": USER, "key": _KEY, "known_hosts": _KNOWN_HOSTS, "emulated": True}
    devices = {
        board.name: {
            "transport": "ssh",
            "host": ADDRESS,
            "port": board.port,
            "target": board.cpu,
            "tags": ["lab", board.cpu],
        }
        for board in lab.boards
    }
    return {"defaults": defaults, "devices": devices}


def _give_to_sudo_user(folder: Path) -> None:
    """Let who typed `sudo fusekit lab up` read the key that the boards know."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if user is None or group is None:
        return
    for path in (folder, *(path for path in folder.iterdir() if path.is_file())):
        os.chown(path, int(user), int(group), follow_symlinks=False)
