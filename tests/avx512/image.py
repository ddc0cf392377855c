"""A disk image of bundles with a small program that runs them without an operating system.

disk    boot sector | program with every model's code | plan | parts | detours | outputs
memory  boot sector at 0x7c00; from 1 MiB on as on the disk, then arenas and scratch memory, stacks, page tables

The plan is guest.c's `layout`. The parts are each job's weights and inputs. The detours are what erratum.py leads code to. Every buffer
ends where a page does, as nearly as its alignment allows, and the page behind it is not mapped.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fusekit
from fusekit.cache import cache_dir
from fusekit.compiler.bundle import Bundle
from fusekit.toolkit.reference import Arrays

from .erratum import around_erratum

SECTOR, PAGE, MEGABYTE, GIGABYTE = 512, 4096, 1 << 20, 1 << 30
HEADS, SECTORS_PER_TRACK = 16, 63
CYLINDER = HEADS * SECTORS_PER_TRACK * SECTOR

_BOOT_ADDRESS, _IMAGE_ADDRESS = 0x7C00, MEGABYTE
_IMAGE_SECTORS_AT = 506  # in the boot sector
_LAYOUT = struct.Struct("<8Q")  # up to the symbols
_SYMBOL_BYTES = 64
_MEMORY_ALIGNMENT, _TENSOR_ALIGNMENT = 64, 4
_STACK_BYTES = 16 * MEGABYTE
_MOST_GIGABYTES = 3
_MOST_TABLES_BYTES = (2 + _MOST_GIGABYTES * (1 + 512)) * PAGE

_HERE = Path(__file__).parent
_PACKAGE = Path(fusekit.__file__).parent
_RUNTIME, _RUNNER = _PACKAGE / "compiler" / "runtime", _PACKAGE / "devices" / "runner"
_COMPILE = ("cc", "-target", "x86_64-linux-musl", "-O2", "-Wall", "-Wextra", "-ffreestanding", "-fno-pic", "-fno-stack-protector")  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A bundle for x86-64 and the inputs to run it on, by name."""

    bundle: Bundle
    feeds: Arrays

    def __str__(self) -> str:
        manifest = self.bundle.manifest
        return f"{manifest.name} ({manifest.symbol}, {manifest.fusion}, {manifest.threads} threads)"


@dataclass(frozen=True)
class Image:
    """A disk whose outputs are still to come, and the memory of the machine that it boots on."""

    disk: bytes
    outputs_at: int
    outputs_bytes: int
    memory_megabytes: int


def make_image(jobs: Sequence[Job], folder: Path) -> Image:
    """Link the models of `jobs` and lay out what they read and write; `folder` is for files on the way."""
    program = _link(jobs, folder)
    manifests = [job.bundle.manifest for job in jobs]
    symbols = b"".join(manifest.symbol.encode().ljust(_SYMBOL_BYTES, b"\0") for manifest in manifests)
    parts = b"".join(_placed(data, alignment) for job in jobs for data, alignment in _parts(job))
    plan_bytes = _pages(_LAYOUT.size + len(symbols))

    detours_at = len(program) + plan_bytes + len(parts)
    program, detours = around_erratum(program, _IMAGE_ADDRESS - SECTOR, _IMAGE_ADDRESS - SECTOR + detours_at)
    parts += detours.ljust(_pages(len(detours)), b"\0")

    outputs_at = len(program) + plan_bytes + len(parts)
    outputs_bytes = sum(_room(tensor.bytes) for manifest in manifests for tensor in manifest.outputs)
    outputs = _IMAGE_ADDRESS + outputs_at - SECTOR
    memory = outputs + outputs_bytes
    stacks = memory + sum(_room(m.arena_bytes) + _room(m.scratch_bytes) for m in manifests)
    page_tables = stacks + max(manifest.threads for manifest in manifests) * _STACK_BYTES
    gigabytes = -(-(page_tables + _MOST_TABLES_BYTES) // GIGABYTE)
    assert gigabytes <= _MOST_GIGABYTES, "devices lie behind that: run fewer jobs in one boot"

    output_sectors, first_sector = outputs_bytes // SECTOR, outputs_at // SECTOR
    plan = _LAYOUT.pack(
        gigabytes, outputs, output_sectors, first_sector, memory, stacks, page_tables, len(jobs)
    )
    disk = bytearray(program + (plan + symbols).ljust(plan_bytes, b"\0") + parts + bytes(outputs_bytes))
    disk[_IMAGE_SECTORS_AT : _IMAGE_SECTORS_AT + 4] = (first_sector - 1).to_bytes(4, "little")
    disk += bytes(-len(disk) % CYLINDER)
    return Image(bytes(disk), outputs_at, outputs_bytes, gigabytes * GIGABYTE // MEGABYTE)


def read_outputs(jobs: Sequence[Job], written: bytes) -> tuple[Arrays, ...]:
    """Each job's outputs by name, from `written` at the image's `outputs_at`. AssertionError where bytes before one have changed."""
    found, at = [], 0
    for job in jobs:
        arrays: dict[str, np.ndarray] = {}
        for tensor in job.bundle.manifest.outputs:
            end = at + _pages(tensor.bytes)
            begin = end - _aligned(tensor.bytes, _TENSOR_ALIGNMENT)
            assert not written[at:begin].strip(b"\xff"), f"{job} wrote before {tensor.name}"
            data = written[begin : begin + tensor.bytes]
            arrays[tensor.name] = np.frombuffer(data, tensor.dtype).reshape(tensor.shape)
            at = end + PAGE
        found.append(arrays)
    return tuple(found)


def _link(jobs: Sequence[Job], folder: Path) -> bytes:
    """The boot sector, and the memory from 1 MiB on that it loads, up to the plan."""
    models = {job.bundle.manifest.symbol: job.bundle.files["model.o"] for job in jobs}
    objects = _guest_objects(folder)
    for symbol, content in models.items():
        objects.append(folder / f"{symbol}.o")
        objects[-1].write_bytes(content)
    output = folder / "program"
    script = str(_HERE / "guest.ld")
    _zig("ld.lld", "-m", "elf_x86_64", "-static", "--oformat=binary", "-T", script, *map(str, objects), "-o", str(output))  # fmt: skip
    memory = output.read_bytes()
    return memory[:SECTOR] + memory[_IMAGE_ADDRESS - _BOOT_ADDRESS :]


def _guest_objects(folder: Path) -> list[Path]:
    """The guest's own code: how it starts, what it does, and the runner's check of CPU features."""
    objects = []
    for source in (_HERE / "boot.S", _HERE / "guest.c", _RUNNER / "isa.c"):
        objects.append(folder / f"{source.name}.o")
        _zig(*_COMPILE, f"-I{_RUNTIME}", f"-I{_RUNNER}", "-c", str(source), "-o", str(objects[-1]))
    return objects


def _zig(*argv: str) -> None:
    cache = str(cache_dir() / "zig")
    done = subprocess.run(
        [sys.executable, "-m", "ziglang", *argv],
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _parts(job: Job) -> list[tuple[bytes, int]]:
    """What a job is given, in the guest's order, with alignments: weights and inputs."""
    inputs = [np.ascontiguousarray(job.feeds[tensor.name]).tobytes() for tensor in job.bundle.manifest.inputs]
    weights = job.bundle.files["weights.bin"]
    return [(weights, _MEMORY_ALIGNMENT), *((data, _TENSOR_ALIGNMENT) for data in inputs)]


def _placed(data: bytes, alignment: int) -> bytes:
    """`data` where `take` of guest.c finds it."""
    before = _pages(len(data)) - _aligned(len(data), alignment)
    return bytes(before) + data.ljust(_room(len(data)) - before, b"\0")


def _room(size: int) -> int:
    """How far `take` of guest.c moves on for `size` bytes: whole pages, and the one behind them."""
    return _pages(size) + PAGE


def _pages(size: int) -> int:
    return _aligned(size, PAGE)


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
