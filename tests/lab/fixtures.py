"""Pytest fixtures: a lab board, and an inventory through which fusekit reaches it as `lab-pi5`.

A test elsewhere takes them over by importing them in its conftest: `from ..lab.fixtures import lab, pi5, pi5_board`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fusekit.toolkit.lab.needs import missing

from .board import ADDRESS, USER, Board, make_key


@dataclass
class Lab:
    """Where boards come from: one user key for all, and a place that is removed with them."""

    folder: Path
    key: Path
    authorized: str
    boards: ExitStack = field(default_factory=ExitStack)

    def board(
        self,
        name: str,
        *,
        cpu: str = "cortex-a76",
        home_bytes: int = 0,
        read_only: bool = False,
        sshd_option: str = "",
    ) -> Board:
        """Start a board that runs until the end of the session; `home_bytes` gives its user a disk of that size."""
        board = Board(
            self.folder / name,
            self.authorized,
            cpu=cpu,
            home_bytes=home_bytes,
            read_only=read_only,
            sshd_option=sshd_option,
        )
        return self.boards.enter_context(board)


@dataclass(frozen=True)
class LabDevice:
    """What a test needs to use a board: `fusekit … --device NAME --inventory PATH`, with FUSEKIT_CONFIG set."""

    name: str
    inventory: Path
    config: Path
    board: Board


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Skip where boards cannot run; with FUSEKIT_REQUIRE_LANES=1 that is a failure."""
    reason = missing()
    if reason:
        if os.environ.get("FUSEKIT_REQUIRE_LANES") == "1":
            pytest.fail(f"the lab lane is required: {reason}")
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("lab")
    key = folder / "id_ed25519"
    authorized = make_key(key)
    lab = Lab(folder, key, authorized)
    with lab.boards:
        yield lab


@pytest.fixture(scope="session")
def pi5_board(lab: Lab) -> Board:
    return lab.board("pi5")


@pytest.fixture
def pi5(lab: Lab, pi5_board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabDevice:
    """A board that looks like a Raspberry Pi 5 and is trusted; FUSEKIT_CONFIG is set for this test."""
    return describe(lab, pi5_board, tmp_path, monkeypatch)


def describe(
    lab: Lab, board: Board, folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: object
) -> LabDevice:
    """Write an inventory and a known_hosts file for a board; `changed` replaces keys of its entry."""
    entry = {
        "transport": "ssh",
        "host": ADDRESS,
        "port": board.port,
        "user": USER,
        "key": str(lab.key),
        "target": "rpi5",
        **changed,
    }
    inventory = folder / "inventory.yaml"
    lines = "".join(f"    {key}: {value}\n" for key, value in entry.items())
    inventory.write_text(f"devices:\n  lab-pi5:\n{lines}")
    config = folder / "config"
    config.mkdir(exist_ok=True)
    (config / "known_hosts").write_text(f"[{ADDRESS}]:{entry['port']} {board.host_key}")
    monkeypatch.setenv("FUSEKIT_CONFIG", str(config))
    return LabDevice("lab-pi5", inventory, config, board)
