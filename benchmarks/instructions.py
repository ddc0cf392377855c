"""Instructions executed per inference on an emulated Cortex-A76: python -m benchmarks.instructions [MODEL…] [--write]

Without models, those of the table beside this file, which `tests/machine/test_instruction_counts.py` holds: a count may only fall. `--write`
rewrites the table. Beside a model that other engines were counted on (peer_instructions.toml) stands the one that needs fewest.

A count is exact and is no time: it knows nothing of caches, and a vector instruction counts as much as any other.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusekit.compiler.compile import Options, compile_model
from fusekit.errors import UserError
from fusekit.toolkit.zoo_model import model_path

from .count_instructions import executed_instructions, find_emulator

TARGET = "cortex-a76"
TABLE = Path(__file__).with_name("instructions.json")
PEERS = Path(__file__).with_name("peer_instructions.toml")


@dataclass(frozen=True)
class Peer:
    """An engine and the instructions that it executes per inference."""

    engine: str
    instructions: float


def count(model: str) -> int:
    """Instructions of one inference at full fusion on one thread; UserError where there is no emulator or no such model."""
    emulator = find_emulator()
    with model_path(model) as path:
        bundle = compile_model(path, Options(target=TARGET))
    return executed_instructions(bundle, TARGET, emulator)


def read_table() -> dict[str, int]:
    """Most instructions by model."""
    table: dict[str, int] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def least_peers() -> dict[str, Peer]:
    """The engine that executes the fewest instructions in float32, by the name of a model's file."""
    rows: Mapping[str, Mapping[str, float]] = tomllib.loads(PEERS.read_text(encoding="utf-8"))["millions"]
    return {
        model: min((Peer(engine, 1e6 * n) for engine, n in row.items()), key=lambda peer: peer.instructions)
        for model, row in rows.items()
    }


def line(model: str, instructions: int, most: int | None, peer: Peer | None) -> str:
    """A count beside what the table and the best of the peers say of the same model."""
    text = f"{model:32} {instructions / 1e6:10.3f} M"
    if most is not None:
        text += f"   table {most / 1e6:10.3f} M ({100 * (instructions / most - 1):+.2f} %)"
    if peer is not None:
        text += f"   {peer.engine} {peer.instructions / 1e6:.2f} M, {peer.instructions / instructions:.2f} times ours"
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("models", nargs="*", metavar="MODEL", help="ONNX files or zoo:NAME")
    parser.add_argument("--write", action="store_true", help="rewrite the table from its own models")
    given = parser.parse_args(arguments)
    table, peers = read_table(), least_peers()
    if given.write and given.models:
        parser.error("--write counts the models of the table: leave MODEL out")
    try:
        counts = {}
        for model in given.models or table:
            counts[model] = count(model)
            print(line(model, counts[model], table.get(model), peers.get(Path(model).stem)), flush=True)
    except UserError as error:
        sys.exit(f"instructions: {error}")
    if given.write:
        TABLE.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
