"""Random nets are small: what they give is turned all the same."""

from __future__ import annotations

import pytest

from fusekit.compiler import planes


@pytest.fixture(autouse=True)
def small_values_are_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planes, "LEAST_ELEMENTS", 0)
