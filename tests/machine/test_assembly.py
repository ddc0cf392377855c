"""Reading listings: the loops that are found, and what counts as a spill."""

from __future__ import annotations

import pytest

from .assembly import Loop, innermost_loops, multiply_add_loops

AARCH64 = """\
\t.text
k:
.LBB0_1:                                // =>This Loop Header: Depth=1
\tmov\tx8, #0
.LBB0_2:                                //   Parent Loop BB0_1 Depth=1
\tldr\tq1, [x0], #16
\tfmla\tv2.4s, v3.4s, v1.s[0]
\tcmp\tx8, #64
\tb.lo\t.LBB0_2
// %bb.3:
\tcbnz\tx9, .LBB0_1
\tret
"""
X86 = """\
\t.text
k:
.LBB0_1:                                # =>This Inner Loop Header: Depth=1
\tvbroadcastss\t-8(%rbx,%r13,4), %ymm0
\tvfmadd231ps\t%ymm1, %ymm0, %ymm2 # comment
\tje\t.LBB0_2
\tincq\t%rax
.LBB0_2:
\tjb\t.LBB0_1
"""


def test_only_the_inner_loop_is_found() -> None:
    (loop,) = innermost_loops(AARCH64)
    assert loop == Loop(
        ".LBB0_2", ("ldr q1, [x0], #16", "fmla v2.4s, v3.4s, v1.s[0]", "cmp x8, #64", "b.lo .LBB0_2")
    )
    assert multiply_add_loops(AARCH64) == [loop]


def test_forward_branches_are_no_loops() -> None:
    (loop,) = innermost_loops(X86)
    assert loop.label == ".LBB0_1"
    assert loop.instructions[1] == "vfmadd231ps %ymm1, %ymm0, %ymm2"
    assert loop.count("vfmadd") == 1


@pytest.mark.parametrize(
    "text",
    [
        "str q1, [sp, #32]", "ldp q1, q2, [sp]", "ldur q0, [sp, #-16]", "ldr d8, [sp, #8]",
        "vmovups %ymm9, 64(%rsp)", "vmovaps -112(%rsp), %zmm0", "vfmadd231ps 32(%rsp), %ymm1, %ymm2",
    ],
)  # fmt: skip
def test_a_vector_on_the_stack_is_a_spill(text: str) -> None:
    assert Loop("", (text,)).spills == (text,)


@pytest.mark.parametrize(
    "text",
    ["ldr x8, [sp, #8]", "ldr q1, [x8]", "movq 8(%rsp), %rax", "vmovups 64(%rbp), %ymm9", "vmovups (%r8), %ymm1"],
)  # fmt: skip
def test_other_loads_and_stores_are_none(text: str) -> None:
    assert Loop("", (text,)).spills == ()
