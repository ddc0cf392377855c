"""Devices added to the text of an inventory file, every comment and every line of it kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from ..errors import UserError
from .inventory import load_inventory


def append_devices(path: Path, lines: Sequence[str]) -> None:
    """Add lines of entries to the end of `devices`; the file is created where there is none.

    It is replaced at once, and only by one that loads. Raises `UserError` where its `devices` cannot be added to.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else "devices:\n"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(_appended(text, lines, path), encoding="utf-8")
        load_inventory(part)
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    except OSError as error:
        raise UserError(f"the inventory {path} cannot be written: {error.strerror}") from error
    except UserError as error:
        raise UserError(str(error).replace(str(part), str(path))) from error
    finally:
        part.unlink(missing_ok=True)


def _appended(text: str, lines: Sequence[str], path: Path) -> str:
    before = text.splitlines()
    end, indent = _end_of_devices(text, path)
    while end > 0 and (not before[end - 1].strip() or before[end - 1].startswith("#")):
        end -= 1  # what stands before the next key belongs to it
    added = [f"{' ' * indent}{line}" for line in lines]
    return "\n".join([*before[:end], *added, *before[end:]]) + "\n"


def _end_of_devices(text: str, path: Path) -> tuple[int, int]:
    """The line after the last device, from 0, and the column in which devices begin."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    for key, value in pairs:
        if key.value != "devices":
            continue
        if isinstance(value, yaml.ScalarNode) and not value.value:
            return key.end_mark.line + 1, 2
        if isinstance(value, yaml.MappingNode) and not value.flow_style and value.value:
            return value.end_mark.line + (value.end_mark.column > 0), value.value[0][0].start_mark.column
        raise UserError(
            f"{path} has its `devices` on one line: write each on a line of its own under `devices:`, then they can be "
            "added to"
        )
    raise UserError(f"{path} has no `devices:` to add to: write that line into it")
