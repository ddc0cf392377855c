"""`fusekit lab`: emulated boards on this machine, to try a fleet without boards."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..lab.board_model import BOARD_MODELS
from ..lab.lab import find_lab, lab_up
from .screen import progress, stdout

lab_app = typer.Typer(
    no_args_is_help=True, help="Emulated boards on this machine, each with an SSH server of its own."
)
FolderOption = Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the lab's files are.")]


@lab_app.command("up", epilog="Example: fusekit lab up --count 8 --cpu cortex-a76,cortex-a72,cortex-a53")
def up(
    count: Annotated[int, typer.Option(min=1, max=512, help="How many boards.")] = 4,
    cpu: Annotated[
        str, typer.Option(metavar="CPU,…", help=f"Their CPUs, in turn: {', '.join(BOARD_MODELS)}.")
    ] = "cortex-a76",
    folder: FolderOption = Path("lab"),
) -> None:
    """Start boards that run until `fusekit lab down`, and write an inventory for them.

    Each looks like a Raspberry Pi 3, 4 or 5 and runs its programs under QEMU: answers are checked, nothing is timed.
    """
    with progress() as shown:
        shown.add_task("starting boards", total=None)
        lab = lab_up(folder, [part.strip() for part in cpu.split(",")], count)
    counts = Counter(board.cpu for board in lab.boards)
    console = stdout()
    console.print(
        f"running: {', '.join(f'{number} x {name}' for name, number in counts.items())}", soft_wrap=True
    )
    inventory = folder / lab.inventory.name
    console.print(
        f"try: fusekit verify zoo:ds_cnn --device all --inventory {inventory}",
        soft_wrap=True,
    )


@lab_app.command("status")
def status(folder: FolderOption = Path("lab")) -> None:
    """List the boards of a lab and whether they run."""
    lab = find_lab(folder)
    table = Table()
    for heading in ("device", "CPU", "port", "state"):
        table.add_column(heading)
    for board in lab.boards:
        table.add_row(board.name, board.cpu, str(board.port), "running" if lab.runs(board) else "ended")
    stdout().print(table)


@lab_app.command("down")
def down(folder: FolderOption = Path("lab")) -> None:
    """End the boards of a lab and remove all that `fusekit lab up` made."""
    lab = find_lab(folder)
    ended = lab.down()
    stdout().print(f"{ended} of {len(lab.boards)} boards ended, {folder} cleared", soft_wrap=True)


@lab_app.command("install")
def install() -> None:
    """Install what the boards need from the system, as root on Debian or Ubuntu; a second call changes nothing."""
    script = Path(__file__).parents[1] / "lab" / "install.sh"
    raise typer.Exit(subprocess.run(["sh", str(script)], check=False).returncode)
