"""All kernels of models as files: python -m tests.machine.dump_kernels FOLDER [--models …] [--targets …] [--levels …]

FOLDER/TARGET/MODEL/LEVEL/
    007-CONV.txt    a kernel with its schedule, by the number and the node of the first step that runs it
    007-CONV.s      its assembly
    steps.txt       the kernel of each step, and where its arguments lie

No name has a hash in it, so `diff -r` of two dumps shows how a kernel changed, and not that one went and another came.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from fusekit.compiler.compile import Options, Stages, lower_graph
from fusekit.compiler.fusion import LEVELS, Level
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.kernel_cache import kernel_text
from fusekit.compiler.objects import listing
from fusekit.compiler.passes import canonicalise
from fusekit.compiler.target import find_target
from fusekit.errors import UserError
from fusekit.toolkit.zoo import ZOO
from fusekit.toolkit.zoo_model import model_path

TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4", "cortex-a53", "cortex-a76")
"""One of every vector width and way to multiply and add."""


@dataclass(frozen=True)
class Variant:
    """A model, and what it is compiled for on one thread."""

    model: str
    target: str
    level: Level

    def folder_in(self, root: Path) -> Path:
        """Where its kernels go."""
        return root / self.target / Path(self.model.removeprefix("zoo:")).stem / self.level


def dump(variant: Variant, root: Path) -> str:
    """Write the kernels of one variant; what was written, in words."""
    with model_path(variant.model) as path:
        graph = import_onnx(path, {})
    stages = lower_graph(canonicalise(graph), Options(target=variant.target, fusion=variant.level))
    folder = variant.folder_in(root)
    folder.mkdir(parents=True, exist_ok=True)
    names = _names(stages)
    for item in stages.lowered:
        kernel = item.kernel
        name = names[kernel.symbol]
        if (folder / f"{name}.s").exists():
            continue
        assembly = listing(kernel_text(kernel), kernel.target).replace(
            kernel.symbol, f"fk_{kernel.root.anchor}"
        )
        (folder / f"{name}.txt").write_text(f"{kernel.schedule}\n{kernel}\n", encoding="utf-8")
        (folder / f"{name}.s").write_text(assembly, encoding="utf-8")
    steps = [
        f"{names[step.lowered.kernel.symbol]}({', '.join(map(str, step.arguments))})"
        for step in stages.plan.steps
    ]
    (folder / "steps.txt").write_text("\n".join(steps) + "\n", encoding="utf-8")
    return f"{folder}: {len(names)} kernels, {len(steps)} steps"


def _names(stages: Stages) -> dict[str, str]:
    """A file name for each kernel by its symbol."""
    names: dict[str, str] = {}
    for number, (group, item) in enumerate(zip(stages.fused.groups, stages.lowered, strict=True)):
        node = re.sub(r"[^\w.-]+", "_", group.nodes[0]) if group.nodes else item.kernel.root.anchor
        names.setdefault(item.kernel.symbol, f"{number:03}-{node[:60]}")
    return names


def dump_all(variants: Sequence[Variant], root: Path, workers: int | None = None) -> Iterator[str]:
    """Write all variants to `root`, a new or empty folder; a line for each. UserError where it holds anything."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UserError(
            f"{root} is there already: name a new folder, so that nothing of an older dump stays in it"
        )
    # forked processes would inherit locks of LLVM
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(dump, variants, [root] * len(variants))


def main(arguments: Sequence[str] | None = None) -> None:
    """Dump what the command line says, by default the whole zoo at full fusion."""
    parser = argparse.ArgumentParser(
        prog="script/dump-kernels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--models", nargs="+", default=[f"zoo:{net}" for net in ZOO], metavar="MODEL")
    parser.add_argument("--targets", nargs="+", default=TARGETS, metavar="TARGET")
    parser.add_argument("--levels", nargs="+", default=["full"], choices=LEVELS, metavar="LEVEL")
    parser.add_argument("--workers", type=int, metavar="N", help="processes, by default one per core")
    given = parser.parse_args(arguments)
    try:
        targets = [find_target(target).name for target in given.targets]
        variants = [Variant(*words) for words in product(given.models, targets, given.levels)]
        for line in dump_all(variants, given.folder, given.workers):
            print(line, flush=True)
    except UserError as error:
        sys.exit(f"dump-kernels: {error}")


if __name__ == "__main__":
    main()
