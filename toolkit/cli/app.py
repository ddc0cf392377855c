"""The commands of `fusekit`, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import __version__
from .bench import bench
from .check import check
from .compare import compare
from .compile import compile_command
from .deploy import deploy
from .devices import devices_app
from .inspect import inspect
from .lab import lab_app
from .report import report
from .sweep import sweep
from .tune import tune
from .verify import verify
from .watch import watch
from .zoo import zoo_app

app = typer.Typer(
    name="fusekit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all right · 1 an output was wrong or a measurement failed · 2 something to mend, told in "
    "one line.",
)


def _version(given: bool) -> None:
    if given:
        print(f"fusekit {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Compile ONNX models into fused native code, run them on boards, measure what fusion bought."""


app.command("check", epilog="Example: fusekit check model.onnx --shape input=1,3,224,224")(check)
app.command("compile", epilog="Example: fusekit compile zoo:mobilenet_v2 --target rpi5 -o build/mobilenet")(
    compile_command
)
app.command("deploy", epilog="Example: fusekit deploy model.onnx --device rpi5")(deploy)
app.command(
    "bench", epilog="Example: fusekit bench model.onnx --device rpi5 --fusion none,basic,full --threads 1,4"
)(bench)
app.command(
    "compare", epilog="Example: fusekit compare model.onnx --engines onnxruntime,openvino --threads 1"
)(compare)
app.command("tune", epilog="Example: fusekit tune model.onnx --device rpi5 -o schedules/cortex-a76.toml")(
    tune
)
app.command("verify", epilog="Example: fusekit verify model.onnx --device rpi5-emulated")(verify)
app.command("sweep", epilog="Example: fusekit sweep sweep.yaml -o reports/sweeps/rack --resume")(sweep)
app.command("watch", epilog="Example: fusekit watch reports/sweeps/rack")(watch)
app.command("report", epilog="Example: fusekit report reports/records -o reports/mobilenet.pdf --png")(report)
app.command("inspect", epilog="Example: fusekit inspect model.onnx --target rpi5 --dump groups")(inspect)
app.add_typer(devices_app, name="devices")
app.add_typer(lab_app, name="lab")
app.add_typer(zoo_app, name="zoo")
