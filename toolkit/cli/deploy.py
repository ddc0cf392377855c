"""`fusekit deploy`: a model or a bundle on a device, verified there and left ready to run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ...devices import Device, DeviceEntry
from ...errors import UserError
from ..measure.record import Settings
from ..measure.session import deploy as deploy_on
from ..measure.session import verify as verify_on
from ..measure.stage import stage
from ..reference import read_reference, reference_outputs, seeded_inputs
from ..zoo_model import model_path
from .compile import REFERENCE
from .each_device import in_turn
from .option import (
    BandsOption,
    DevicesOption,
    FusionOption,
    InventoryOption,
    ShapeOption,
    ThreadsOption,
    WinogradOption,
    find_devices,
    parse_fusions,
    parse_shapes,
    parse_switch,
    parse_winograd,
)
from .outcome import exit_if_any_failed, refuse_if_nothing_ran
from .screen import progress, stdout
from .variant import Variants, announce_first_link, compile_variants
from .verify import print_checks


def deploy(
    model: Annotated[
        str, typer.Argument(metavar="MODEL|BUNDLE", help="An ONNX file, zoo:NAME, or the folder of a bundle.")
    ],
    device: DevicesOption,
    fusion: FusionOption = "full",
    bands: BandsOption = "on",
    winograd: WinogradOption = "auto",
    threads: ThreadsOption = 1,
    shape: ShapeOption = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="MODEL", help="The model of a BUNDLE that has no reference.npz beside it."
        ),
    ] = None,
    inventory: InventoryOption = None,
) -> None:
    """Compile MODEL if needed, push it to devices, verify its outputs there and leave it ready to run.

    Prints the folder on each device and the command that runs it there. `fusekit devices clean` removes it.
    """
    fusions = parse_fusions(fusion)
    if len(fusions) > 1:
        raise UserError(f"deploy takes one fusion level, not '{fusion}'")
    entries = find_devices(device, inventory)
    variants = {}
    for entry in entries:
        if Path(model, "manifest.json").is_file():
            variants[entry.target] = _read_bundle(Path(model), source, entry)
        elif entry.target not in variants:
            variants[entry.target] = compile_variants(
                model,
                entry.target,
                fusions=fusions,
                threads=[threads],
                bands=parse_switch(bands, "--bands"),
                winograd=parse_winograd(winograd),
                shapes=parse_shapes(shape),
            )
    in_turn(entries, lambda place: _deploy_on(place, variants[place.target]))


def _deploy_on(place: Device, variants: Variants) -> None:
    announce_first_link(variants.bundles[0].manifest.target.triple)
    with progress() as shown:
        shown.add_task(f"deploying to {place.name}", total=None)
        records = verify_on(place, variants.bundles, variants.feeds, variants.want, Settings())
        if records[0].verified:
            lying = deploy_on(place, stage(variants.bundles, variants.feeds))
    refuse_if_nothing_ran(records)
    print_checks(records)
    exit_if_any_failed(records)
    command = shlex.join(["./runner", "--nonce", "0", *lying.arguments])
    console = stdout()
    console.print(
        f"{records[0].model} is on {place.name} in {lying.folder} ({lying.bytes / 2**20:.1f} MiB)",
        soft_wrap=True,
    )
    console.print(f"run it there: cd {shlex.quote(lying.folder)} && {command}", soft_wrap=True)


def _read_bundle(folder: Path, source: str | None, device: DeviceEntry) -> Variants:
    """A bundle with the answers beside it, or with those of its model."""
    from ...compiler.bundle import Bundle
    from ...compiler.target import find_target

    bundle = Bundle.read(folder)
    manifest = bundle.manifest
    if manifest.target.triple != find_target(device.target).triple:
        raise UserError(
            f"bundle {folder} is for {manifest.target.name} but {device.name} is {device.target}: compile it with "
            f"--target {device.target}"
        )
    if source is None:
        return Variants((bundle,), *read_reference(folder / REFERENCE, manifest))
    feeds = seeded_inputs(manifest)
    with model_path(source) as path:
        return Variants((bundle,), feeds, reference_outputs(path, feeds))
