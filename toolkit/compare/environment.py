"""A virtual environment with the engines' packages on a device, made once for the same wheels.

It lies in the folder of the wheels that it was made of, which is named for their content, and `fusekit devices clean` removes both.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...devices.device import Device
from ...devices.printable import printable, printable_lines
from ...errors import UserError
from .interpreter import Interpreter
from .wheels import NoWheel, find_wheel

INSTALL_S = 900.0
"""A Raspberry Pi 3 writes some 10 MB/s to its card; the packages unpacked are 500 MB."""
ENVIRONMENT = "environment"
PIP = "pip"
NEEDED = (PIP, "numpy")


@dataclass(frozen=True)
class Environment:
    """An interpreter of a device with packages, and why others are not among them."""

    program: str
    absent: dict[str, str]


def make_environment(device: Device, python: Interpreter, packages: Collection[str]) -> Environment:
    """Puts the wheels there and installs them; raises UserError where the device has no `venv` or no numpy fits it."""
    wheels: list[Path] = []
    absent: dict[str, str] = {}
    for package in dict.fromkeys([*NEEDED, *packages]):
        try:
            wheels.append(find_wheel(package, python))
        except NoWheel as error:
            if package in NEEDED:
                raise UserError(f"{device.name}: {error}") from error
            absent[package] = str(error)
    folder = device.put({wheel.name: wheel.read_bytes() for wheel in wheels})
    names = [wheel.name for wheel in wheels]
    done = device.run(["sh", "-c", _script(names), "sh", python.program], cwd=folder, timeout_s=INSTALL_S)
    if done.exit_code != 0:
        raise _refusal(device, printable_lines(done.stderr + done.stdout))
    return Environment(f"{folder}/{ENVIRONMENT}/bin/python", absent)


def _script(wheels: Sequence[str]) -> str:
    """Makes the environment beside its wheels, whole or not at all. Pip runs from its wheel: Debian's Python has none."""
    pip, *others = wheels
    new = f"{ENVIRONMENT}.new"
    return f"""[ ! -x {ENVIRONMENT}/bin/python ] || exit 0
rm -rf {ENVIRONMENT} {new}
"$1" -m venv --without-pip {new} || exit 1
{new}/bin/python {pip}/pip install --quiet --no-index --no-deps --no-compile --disable-pip-version-check {" ".join(f"./{name}" for name in others)} || exit 1
mv {new} {ENVIRONMENT}"""


def _refusal(device: Device, said: str) -> UserError:
    if "No module named venv" in said or "ensurepip" in said:
        return UserError(
            f"the Python of {device.name} has no venv: type `sudo apt install python3-venv` there, or name a Python that "
            "has the engines with --python"
        )
    lines = said.strip().splitlines() or ["it does not say why"]
    return UserError(f"{device.name} cannot install the engines ({printable(lines[-1])})")
