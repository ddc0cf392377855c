"""Who may import whom: the compiler and the devices know nothing of each other, the toolkit knows both."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {"compiler": ("devices", "toolkit"), "devices": ("compiler", "toolkit")}


def imports(file: Path) -> Iterator[str]:
    """Full names of the modules and names that a file imports, at any depth of its code."""
    package = ("fusekit", *file.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*start, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_layer_imports_only_what_it_may(layer: str) -> None:
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    broken = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imports(file)
        for other in FORBIDDEN[layer]
        if f"{name}.".startswith(f"fusekit.{other}.")
    ]
    assert not broken


@pytest.mark.parametrize("layer", ["compiler", "devices", "toolkit"])
def test_package_imports_itself_relatively(layer: str) -> None:
    # An absolute import would still work, and one by the folder's own name would load a module twice.
    absolute = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / layer).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for name in [getattr(node, "module", None) or node.names[0].name]
        if name.partition(".")[0] in ("fusekit", "compiler", "devices", "toolkit")
    ]
    assert not absolute


def test_imports_finds_relative_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / "devices" / "a.py"
    file.parent.mkdir()
    file.write_text(
        "from ..compiler.bundle import Bundle\nfrom .. import toolkit\nfrom . import b\nimport os.path\n"
    )
    assert list(imports(file)) == [
        "fusekit.compiler.bundle.Bundle",
        "fusekit.toolkit",
        "fusekit.devices.b",
        "os.path",
    ]
