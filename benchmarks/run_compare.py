"""`fusekit compare` on the README's nets and on models of the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fusekit.toolkit.cli import main

from .net_list import NETS


def run_compare(name: str, engines: str, fusion: str) -> None:
    """Runs it and exits; records go to benchmarks/records/NAME-1.jsonl for one thread, unless -o says otherwise."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--rounds", default="10")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    output = given.output or Path(__file__).parent / "records" / f"{name}-{given.threads}.jsonl"
    options = ["--engines", engines, "--fusion", fusion, "--threads", given.threads]
    sys.argv[0] = "fusekit"
    main(["compare", *NETS, *given.models, *options, "--rounds", given.rounds, "-o", str(output)])
