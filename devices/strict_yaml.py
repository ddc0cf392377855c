"""A YAML file of the user's: read with plain types, every mistake a sentence with its line."""

from __future__ import annotations

import stat
from pathlib import Path
from shlex import quote

import yaml

from ..errors import UserError


def read_yaml(path: Path) -> object:
    """Return what an inventory file holds; a key that is given twice is a mistake, as YAML says."""
    try:
        if path.stat().st_mode & stat.S_IWOTH:
            raise UserError(
                f"the inventory {path} can be written by everybody, who could lead you to another machine: type `chmod o-w "
                f"{quote(str(path))}`"
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"there is no inventory {path}: give one with `--inventory PATH`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the inventory {path} cannot be read: {error}") from error
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: this is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: this is no YAML: {error}") from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        # PyYAML's own, for a date like 2001-99-99, a number like 0x_ or a wrong tag.
        raise UserError(
            f"{path}: it has a value that YAML takes for a number, a date or a switch, and that is none ({error}): write "
            "it in quotes"
        ) from error
    except RecursionError as error:
        raise UserError(f"{path}: it is nested too deeply") from error


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        mapping: dict[object, object] = super().construct_mapping(node, deep)
        return mapping
