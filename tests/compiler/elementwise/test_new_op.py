"""The op that docs/adding-an-op.md adds, added as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusekit.compiler.elementwise import TABLE, activation

from .onnx_check import check_schema, check_values

DOCUMENT = Path(__file__).parents[3] / "docs" / "adding-an-op.md"


@pytest.fixture
def celu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document's code run at the end of `activation`, in place of the op that is there, for one test."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.delitem(TABLE, "Celu")
    exec(code, dict(vars(activation)))  # noqa: S102 - the project's own document


@pytest.mark.usefixtures("celu")
def test_documented_op_is_what_onnx_reference_computes() -> None:
    check_schema("Celu")
    check_values("Celu", {})
    check_values("Celu", {"alpha": 2.0})
