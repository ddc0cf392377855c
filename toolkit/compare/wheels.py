"""Packages for the Python of a device, as wheels that pip finds for it and the cache keeps.

cache/wheels/<Python, C library and machine>/<package>/*.whl. What lies there is taken as it is, so that an engine keeps its version until its
folder is removed, and a computer without a network can be given wheels by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...cache import cache_dir
from .interpreter import Interpreter

DOWNLOAD_S = 600.0
# The oldest of glibc that has tags by its number (PEP 600).
_OLDEST_GLIBC = 17


class NoWheel(Exception):
    """Why there is no wheel, in words for people."""


def find_wheel(package: str, python: Interpreter) -> Path:
    """The wheel of the newest version that fits, without those that it depends on; raises NoWheel."""
    folder = cache_dir() / "wheels" / _name(python) / package
    kept = sorted(folder.glob("*.whl"))
    if kept:
        return kept[-1]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as part:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ]
        command += ["--no-deps", "--only-binary=:all:", "--implementation=cp", f"--dest={part}"]
        command += [f"--python-version={python.version[0]}.{python.version[1]}"]
        command += [f"--platform={tag}" for tag in platform_tags(python)]
        try:
            done = subprocess.run([*command, package], capture_output=True, timeout=DOWNLOAD_S, check=False)
        except subprocess.TimeoutExpired:
            raise NoWheel(f"pip did not get {package} for {python} within {DOWNLOAD_S:.0f} s") from None
        found = list(Path(part).glob("*.whl"))
        if done.returncode or not found:
            raise NoWheel(f"pip finds no wheel of {package} for {python}{_why(done.stderr)}")
        kept_as = folder / found[0].name
        os.replace(found[0], kept_as)
    return kept_as


def platform_tags(python: Interpreter) -> Iterator[str]:
    """What a wheel may be built for, newest first; nothing but pure Python for a C library that is not glibc."""
    name, version = python.libc
    major, _, minor = version.partition(".")
    if name == "glibc" and major == "2" and minor.isdecimal():
        for number in range(min(int(minor), 99), _OLDEST_GLIBC - 1, -1):
            yield f"manylinux_2_{number}_{python.machine}"
        yield f"manylinux2014_{python.machine}"
    else:
        yield "any"


def _name(python: Interpreter) -> str:
    return f"cp{python.version[0]}{python.version[1]}-{next(platform_tags(python))}"


def _why(stderr: bytes) -> str:
    """Pip's first error, or the last line where there is no pip."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    said = (errors or lines[-1:] or [""])[0].removeprefix("ERROR: ")
    return f" ({said[:200]})" if said else ""
