"""The instructions of the kernels' inner loops, on every target, whatever this machine is."""

from __future__ import annotations

import re

import pytest

from .assembly import instructions_of, multiply_add_loops
from .kernels import listing_of
from .nets import NARROW, NETS

AARCH64 = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1")
X86_FMA = ("x86-64-v3", "x86-64-v4", "znver4")
CONTRACTIONS = tuple(net for net in NETS if not net.startswith("depthwise"))

BY_LANE = r"fmla v\d+\.4s, v\d+\.4s, v\d+\.s\["
CALL = r"bl |blr |call"


def calls(listing: str) -> list[str]:
    """Calls to what the listing does not define: a wrapper may call the body of its kernel."""
    return [text for text in instructions_of(listing) if re.match(CALL, text) and ".body" not in text]


@pytest.mark.parametrize("target", AARCH64)
@pytest.mark.parametrize("net", CONTRACTIONS)
def test_contractions_multiply_by_lane(net: str, target: str) -> None:
    loops = multiply_add_loops(listing_of(net, target))
    assert loops
    for loop in loops:
        # single elements may be loaded into all lanes instead, which costs no instruction either
        assert loop.count(BY_LANE) >= 0.6 * loop.count("fmla v"), f"{loop.label}: {loop.instructions}"
        assert not loop.count("dup "), f"{loop.label} copies lanes: {loop.instructions}"


@pytest.mark.parametrize("target", X86_FMA)
@pytest.mark.parametrize("net", NETS)
def test_x86_fuses_multiply_and_add(net: str, target: str) -> None:
    listing = listing_of(net, target)
    width = {"x86-64-v3": "ymm", "x86-64-v4": "zmm", "znver4": "[yz]mm"}[target]
    loops = multiply_add_loops(listing)
    assert loops
    assert all(loop.count("vfmadd") and not loop.count("vmulps") for loop in loops)
    assert any(loop.count(rf"vfmadd.*{width}") for loop in loops)


@pytest.mark.parametrize("net", NETS)
def test_the_baseline_multiplies_and_adds_without_a_call(net: str) -> None:
    listing = listing_of(net, "x86-64-v2")
    loops = multiply_add_loops(listing)
    assert loops and all(loop.count("mulps") and loop.count("addps") for loop in loops)
    assert not calls(listing)


@pytest.mark.parametrize("target", (*AARCH64, *X86_FMA))
@pytest.mark.parametrize("net", NETS)
def test_no_vector_is_spilled_in_an_inner_loop(net: str, target: str) -> None:
    for loop in multiply_add_loops(listing_of(net, target)):
        assert not loop.spills, f"{loop.label}: {len(loop.spills)} of {len(loop.instructions)}, {loop.spills}"


@pytest.mark.parametrize("target", ["x86-64-v4", "znver4"])
@pytest.mark.parametrize("net", NARROW)
def test_no_vector_is_spilled_where_channels_are_few(net: str, target: str) -> None:
    assert not any(loop.spills for loop in multiply_add_loops(listing_of(net, target)))


@pytest.mark.parametrize("target", (*AARCH64, *X86_FMA))
@pytest.mark.parametrize("net", NETS)
def test_kernels_call_nothing(net: str, target: str) -> None:
    assert not calls(listing_of(net, target))


def test_a_narrow_block_takes_narrow_registers() -> None:
    loops = multiply_add_loops(listing_of("outputs8", "x86-64-v4"))
    assert loops and all(loop.count("vfmadd.*ymm") and not loop.count("vfmadd.*zmm") for loop in loops)


def test_columns_that_share_a_register_are_put_into_it_by_a_mask() -> None:
    loops = multiply_add_loops(listing_of("outputs24", "x86-64-v4"))
    assert loops and all(loop.count(r"vblendmp|vmovap.*{%k") for loop in loops)
    assert not any(loop.count("vshuf|vperm|vinsert|kmov") for loop in loops)


def test_where_units_are_half_as_wide_columns_share_no_register() -> None:
    loops = multiply_add_loops(listing_of("outputs24", "znver4"))
    assert loops and not any(loop.count("zmm|vblendmp|{%k") for loop in loops)


def test_weights_beyond_the_cache_are_asked_for_while_others_are_used() -> None:
    def asks(net: str, target: str) -> bool:
        return any(loop.count("prefetch|prfm") for loop in multiply_add_loops(listing_of(net, target)))

    assert asks("wide1x1", "x86-64-v3") and asks("wide1x1", "x86-64-v4")
    assert not asks("wide1x1", "cortex-a76")  # every instruction counts there
    assert not asks("conv1x1", "x86-64-v4") and not asks("gemm", "x86-64-v4")
