"""The target of this machine: the CPU's own, or the widest level of instructions that it has."""

from __future__ import annotations

import pytest

from fusekit.compiler import target as targets
from fusekit.compiler.target import TARGETS, find_target

V3, V4 = (TARGETS[name].features for name in ("x86-64-v3", "x86-64-v4"))


@pytest.mark.parametrize(
    ("cpu", "name"),
    [
        ({"vendor_id": "AuthenticAMD", "cpu family": "25", "flags": " ".join(V4)}, "znver4"),
        ({"vendor_id": "AuthenticAMD", "cpu family": "25", "flags": " ".join(V3)}, "x86-64-v3"),
        ({"vendor_id": "AuthenticAMD", "cpu family": "26", "flags": " ".join(V4)}, "x86-64-v4"),
        ({"vendor_id": "GenuineIntel", "cpu family": "6", "flags": " ".join(V4)}, "x86-64-v4"),
        ({"flags": "sse2"}, "x86-64-v2"),
        ({}, "x86-64-v2"),
    ],
)
def test_host_is_what_the_cpu_is(cpu: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(targets, "_first_cpu", lambda: cpu)
    assert targets._host.__wrapped__() is TARGETS[name]


def test_two_halves_are_a_whole_register() -> None:
    whole = find_target("znver4").machine
    half = whole.halved()
    assert (half.lanes, half.lanes * half.fma_pipes) == (8, whole.lanes * whole.fma_pipes)
