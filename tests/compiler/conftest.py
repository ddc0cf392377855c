"""The option that rewrites golden texts, ``pytest tests/compiler --update-golden``, and what tests that count kernels ask for."""

from __future__ import annotations

import pytest

from fusekit.compiler import planes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden texts instead of comparing"
    )


@pytest.fixture
def nothing_is_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels write what the model gives in its own order, however large it is."""
    monkeypatch.setattr(planes, "LEAST_ELEMENTS", 1 << 40)
