"""How full a Cortex-A76 keeps its vector pipes in the loops of convolutions, by LLVM's machine code analyser.

A prediction, not a measurement: loads hit the first cache and nothing else runs.
"""

from __future__ import annotations

import pytest

from .assembly import Loop, multiply_add_loops
from .kernels import listing_of
from .mca import FIRST_VERSION, analyse, find_llvm_mca

LEAST_SHARE = 0.90
"""Of the slots of the vector pipes."""


@pytest.fixture(scope="module")
def llvm_mca() -> str:
    """The analyser, or a skip."""
    found = find_llvm_mca()
    if found is None:
        pytest.skip(f"llvm-mca {FIRST_VERSION} or newer is not installed: run tests/machine/install.sh")
    return found


@pytest.mark.parametrize("net", ["conv1x1", "conv3x3", "alone1x1", "alone3x3"])
def test_convolutions_fill_the_pipes(net: str, llvm_mca: str) -> None:
    loops = multiply_add_loops(listing_of(net, "cortex-a76"))
    assert loops
    for loop in loops:
        verdict = analyse(llvm_mca, loop)
        assert verdict.pipe_share >= LEAST_SHARE, f"{loop.label}: {verdict}"


@pytest.mark.parametrize("net", ["depthwise3x3", "depthwise3x3s2"])
def test_depthwise_convolutions_fill_the_pipes(net: str, llvm_mca: str) -> None:
    """With a multiply-add for a tap, and for each output a copy of the bias, a clamp and a store, which take these pipes too."""
    loops = multiply_add_loops(listing_of(net, "cortex-a76"))
    assert loops
    for loop in loops:
        verdict = analyse(llvm_mca, loop)
        assert verdict.slots_filled >= LEAST_SHARE, f"{loop.label}: {verdict}"


def test_the_model_forwards_accumulators(llvm_mca: str) -> None:
    """Four chains fill two pipes when an accumulator is forwarded after 2 cycles; at 4 cycles they fill half."""
    chains = tuple(f"fmla v{i}.4s, v30.4s, v31.s[0]" for i in range(4))
    assert analyse(llvm_mca, Loop(".Lx", chains)).pipe_share > 0.95


def test_the_model_sees_a_lack_of_chains(llvm_mca: str) -> None:
    chains = tuple(f"fmla v{i % 2}.4s, v30.4s, v31.s[0]" for i in range(8))
    assert analyse(llvm_mca, Loop(".Lx", chains)).pipe_share == pytest.approx(0.5, abs=0.02)


def test_the_model_sees_decoding(llvm_mca: str) -> None:
    """One multiply-add in four instructions a cycle keeps half of the pipes busy, however wide dispatch is."""
    text = (
        "fmla v0.4s, v30.4s, v31.s[0]",
        "nop",
        "nop",
        "nop",
        "fmla v1.4s, v30.4s, v31.s[0]",
        "nop",
        "nop",
        "nop",
    )
    assert analyse(llvm_mca, Loop(".Lx", text)).pipe_share <= 0.51
