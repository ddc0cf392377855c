"""The guest itself, with models written by hand: threads that meet, memory that is nobody's, instructions that Bochs has wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fusekit
from fusekit.compiler.bundle import Bundle, TensorInfo
from fusekit.compiler.graph import Graph, Node, Type
from fusekit.toolkit.link.toolchain import find_toolchain

from ..runtime.conftest import ONE_THREAD, N, model_object
from .graph_bundle import graph_bundle
from .guest import boot
from .image import Job

_TYPE = Type("float32", (N,))
RELU = Graph("relu", ("x",), ("y",), (Node("Relu", ("x",), "y"),), {"x": _TYPE, "y": _TYPE}, {})
HEADER = Path(fusekit.__file__).parent / "compiler/runtime/fusekit.h"
SHIFTS = """
static void run(fk_call *call, int64_t thread) {
    (void)thread;
    const uint32_t *input = call->inputs[0];
    uint32_t *output = call->outputs[0];
    for (int i = 0; i < 1000; i++)
        __asm__("kmovd %1, %%k1\\n kshiftlw $15, %%k1, %%k2\\n kshiftrw $15, %%k1, %%k1\\n korw %%k1, %%k2, %%k3\\n kmovd %%k3, %0"
                : "=r"(output[i]) : "r"(input[i]));
}
static const uint64_t bytes[] = {4000};
extern const fk_model fk_model_00000000000000a1;
const fk_model fk_model_00000000000000a1 = {
    .abi = FK_ABI, .threads = 1, .n_inputs = 1, .n_outputs = 1, .n_steps = 1, .input_bytes = bytes, .output_bytes = bytes,
    .symbol = "fk_model_00000000000000a1", .features = "", .run = run,
};
static const fk_model *const listed __attribute__((section("fk_models"), used)) = &fk_model_00000000000000a1;
"""


def job(model: bytes, x: np.ndarray, weights: bytes = b"", arena_bytes: int = 0, threads: int = 1) -> Job:
    """A model written by hand, from N elements to as many."""
    tensors = [TensorInfo(name, x.dtype.name, (N,), x.nbytes, 0.0, 0.0) for name in "xy"]
    manifest = replace(
        graph_bundle(RELU).manifest,
        symbol=ONE_THREAD,
        threads=threads,
        inputs=(tensors[0],),
        outputs=(tensors[1],),
        arena_bytes=arena_bytes,
        scratch_bytes=0,
    )
    return Job(Bundle(manifest, {"model.o": model, "weights.bin": weights}), {"x": x})


def test_threads_meet_at_barriers(tmp_path: Path) -> None:
    x, weights = (np.random.default_rng(seed).random(N, np.float32) for seed in (0, 1))
    model = model_object("x86_64", tmp_path, ONE_THREAD, THREADS=3)
    guest = boot([job(model, x, weights.tobytes(), x.nbytes, threads=3)], tmp_path)
    np.testing.assert_array_equal(guest.outputs[0]["y"], weights + 2 * x[::-1])


@pytest.mark.parametrize("element", ["input[N]", "((float *)call->weights)[N + 15]", "(arena[N + 15] = 1)"])
def test_memory_behind_a_buffer_is_not_there(element: str, tmp_path: Path) -> None:
    # weights and arena end up to 60 bytes before their pages do, because they begin on a cache line
    x = np.ones(N, np.float32)
    model = model_object("x86_64", tmp_path, ONE_THREAD, SCALE=element)
    with pytest.raises(AssertionError, match="the guest stopped in relu .*\n(.*\n)*.*exception"):
        boot([job(model, x, bytes(x.nbytes), x.nbytes)], tmp_path)


def test_masks_are_shifted_by_fifteen(tmp_path: Path) -> None:
    source, output = tmp_path / "shifts.c", tmp_path / "shifts.o"
    source.write_text(f'#include "{HEADER}"\n{SHIFTS}')
    find_toolchain("x86_64").compile_shared("x86_64", source, output)
    x = np.random.default_rng(0).integers(0, 1 << 32, N, np.uint32)
    guest = boot([job(output.read_bytes(), x)], tmp_path)
    np.testing.assert_array_equal(guest.outputs[0]["y"], (x & 1) << 15 | x >> 15 & 1)
