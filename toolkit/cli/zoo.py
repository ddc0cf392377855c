"""`fusekit zoo`: the nets that fusekit builds itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..writing import writing
from .screen import stdout

zoo_app = typer.Typer(no_args_is_help=True, help="The seeded nets that fusekit builds itself.")


@zoo_app.command("list")
def list_nets() -> None:
    """List the nets; any command takes one as zoo:NAME."""
    from ..zoo import ZOO

    for name, build in ZOO.items():
        said = (build.__doc__ or "").strip().splitlines()
        stdout().print(f"zoo:{name:24} {said[0] if said else ''}", soft_wrap=True)


@zoo_app.command("export", epilog="Example: fusekit zoo export mobilenet_v2 -o models")
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A net of `fusekit zoo list`.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where to write it.")
    ] = Path(),
) -> None:
    """Write a net as NAME.onnx."""
    from ..zoo import export as export_net

    name = name.removeprefix("zoo:")
    path = output / f"{name}.onnx"
    with writing(path):
        export_net(name, path)
    stdout().print(str(path), soft_wrap=True)
