"""Random ONNX models, from the file on: ONNX Runtime = onnx.reference = import = passes = groups = kernels = machine code.

FUSEKIT_EXAMPLES scales how many are tried of each family, FUSEKIT_SEED chooses others.
"""

from __future__ import annotations

import pytest
from hypothesis import given, note, seed

from .check import Setting, check_model
from .draft import ModelCase
from .models import FAMILIES, models
from .settings import AGAIN, EXAMPLES, SEED, compiled_settings, tried


@pytest.mark.parametrize("family", FAMILIES)
def test_every_stage_agrees_on(family: str) -> None:
    @seed(SEED)
    @tried(EXAMPLES)
    @given(case=models(family), options=compiled_settings())
    def agree(case: ModelCase, options: tuple[Setting, ...]) -> None:
        note(AGAIN)
        check_model(case, *options)

    agree()
