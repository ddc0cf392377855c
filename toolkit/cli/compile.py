"""`fusekit compile`: a model file in, a folder with its bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..api import compile
from ..reference import reference_file, reference_outputs, seeded_inputs
from ..zoo_model import model_path
from .option import (
    BandsOption,
    FusionOption,
    ModelArgument,
    SchedulesOption,
    ShapeOption,
    TargetOption,
    ThreadsOption,
    WinogradOption,
    parse_shapes,
    parse_switch,
    parse_winograd,
)
from .screen import progress, stdout

REFERENCE = "reference.npz"


def compile_command(
    model: ModelArgument,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The bundle's folder.")],
    target: TargetOption = "host",
    fusion: FusionOption = "full",
    bands: BandsOption = "on",
    winograd: WinogradOption = "auto",
    threads: ThreadsOption = 1,
    shape: ShapeOption = None,
    schedules: SchedulesOption = None,
) -> None:
    """Compile MODEL for a target into a bundle: model.o, model.h, weights.bin, manifest.json, model.so.

    Beside them lies reference.npz, ONNX Runtime's answer to seeded inputs, so that `fusekit deploy DIR` can verify
    the bundle on its device.
    """
    banded = parse_switch(bands, "--bands")
    shapes = parse_shapes(shape)
    with progress() as shown, model_path(model) as path:
        shown.add_task(f"compiling {path.stem} · {target} · {fusion} · {threads} threads", total=None)
        bundle = compile(
            path,
            target=target,
            fusion=fusion,
            threads=threads,
            bands=banded,
            winograd=parse_winograd(winograd),
            shapes=shapes,
            schedules=schedules,
        )
        feeds = seeded_inputs(bundle.manifest)
        answers = reference_file(bundle.manifest, feeds, reference_outputs(path, feeds))
        bundle.with_file(REFERENCE, answers).write(output)
    manifest = bundle.manifest
    flops = sum(kernel.flops for kernel in manifest.kernels)
    stdout().print(
        f"{manifest.name} for {manifest.target.name}, fusion {manifest.fusion}: {len(manifest.kernels)} kernels, "
        f"{flops / 1e6:.1f} MFLOP, code {manifest.code_bytes / 1024:.0f} KiB, "
        f"weights {manifest.weights_bytes / 1024:.0f} KiB, arena {manifest.arena_bytes / 1024:.0f} KiB → {output}",
        soft_wrap=True,
    )
