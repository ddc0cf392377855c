"""Environments for engines on a device: wheels from the cache, installed there once, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pip
import pytest

from fusekit import UserError
from fusekit.devices import Completed
from fusekit.devices.local import LocalDevice
from fusekit.toolkit.compare.environment import make_environment
from fusekit.toolkit.compare.interpreter import Interpreter
from fusekit.toolkit.compare.wheels import find_wheel, platform_tags
from fusekit.toolkit.link.toolchain import host_arch

HERE = f"cp{sys.version_info[0]}{sys.version_info[1]}"


@pytest.fixture
def python() -> Interpreter:
    version = (sys.version_info[0], sys.version_info[1])
    return Interpreter(sys.executable, version, host_arch(), 64, ("glibc", "2.36"), (0,), False)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: Interpreter) -> Path:
    """A cache with wheels of pip, as it is installed here, and of a numpy that is only a name; there is no network."""
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    folder = tmp_path / "cache" / "wheels" / f"{HERE}-manylinux_2_36_{python.machine}"
    source = Path(pip.__file__).parent
    files = {
        str(path.relative_to(source.parent)): path for path in source.rglob("*") if path.suffix != ".pyc"
    }
    write_wheel(
        folder / "pip", "pip", pip.__version__, {n: p.read_bytes() for n, p in files.items() if p.is_file()}
    )
    write_wheel(folder / "numpy", "numpy", "9.9", {"numpy.py": b"found = True\n"})
    return folder


def write_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    """A wheel of pure Python."""
    folder.mkdir(parents=True)
    info = f"{name}-{version}.dist-info"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, *about, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, content in {**files, **about, f"{info}/RECORD": record}.items():
            wheel.writestr(path, content)


class Answering(LocalDevice):
    """A device whose programs fail with these words."""

    def __init__(self, folder: Path, words: str) -> None:
        super().__init__("board", "host", folder)
        self._words = words

    def run(self, argv: Sequence[str], *, cwd: str, timeout_s: float) -> Completed:
        return Completed(1, b"", self._words.encode())


@pytest.mark.usefixtures("wheels")
def test_an_environment_is_made_once_and_cleaned_away(tmp_path: Path, python: Interpreter) -> None:
    device = LocalDevice("board", "host", tmp_path / "board")
    made = make_environment(device, python, ["no-such-engine"])
    said = f"pip finds no wheel of no-such-engine for Python {HERE[2]}.{HERE[3:]} on {python.machine} with glibc 2.36 ("
    assert list(made.absent) == ["no-such-engine"] and made.absent["no-such-engine"].startswith(said)
    asked = [made.program, "-c", "import numpy; print(numpy.found)"]
    assert subprocess.check_output(asked) == b"True\n"
    inode = os.stat(Path(made.program).parent).st_ino
    assert make_environment(device, python, []).program == made.program
    assert os.stat(Path(made.program).parent).st_ino == inode
    assert device.clean() > 0 and not (tmp_path / "board").exists()


def test_a_wheel_that_lies_in_the_cache_is_taken(wheels: Path, python: Interpreter) -> None:
    assert find_wheel("numpy", python) == wheels / "numpy" / "numpy-9.9-py3-none-any.whl"


def test_wheels_fit_the_c_library_of_the_device(python: Interpreter) -> None:
    board = replace(python, machine="aarch64", libc=("glibc", "2.19"))
    assert list(platform_tags(board)) == [
        "manylinux_2_19_aarch64",
        "manylinux_2_18_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
    ]
    assert list(platform_tags(replace(board, libc=("", "")))) == ["any"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "python3: No module named venv",
            "the Python of board has no venv: type `sudo apt install python3-venv` there, or name "
            + "a Python that has the engines with --python",
        ),
        ("x\nno space\x07 left", "board cannot install the engines (no space\\x07 left)"),
        ("", "board cannot install the engines (it does not say why)"),
    ],
)
@pytest.mark.usefixtures("wheels")
def test_a_device_that_cannot_install_says_why(
    words: str, said: str, tmp_path: Path, python: Interpreter
) -> None:
    with pytest.raises(UserError) as refused:
        make_environment(Answering(tmp_path / "board", words), python, [])
    assert str(refused.value) == said


def test_a_device_that_no_numpy_fits_is_refused(wheels: Path, tmp_path: Path, python: Interpreter) -> None:
    (wheels / "numpy" / "numpy-9.9-py3-none-any.whl").unlink()
    with pytest.raises(UserError, match="^board: pip finds no wheel of numpy for Python "):
        make_environment(LocalDevice("board", "host", tmp_path / "board"), python, [])
