"""The compiler with one line changed, imported anew beside the one that other tests use; no file is touched."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

import fusekit

ANEW = ("fusekit.compiler", "tests.compiler.property")
"""Packages of which a fresh import shares nothing with the one before: the compiler, and the checks that import it."""


class _Changed(SourceFileLoader):
    """Loads a module whose source has `new` in place of `old`."""

    def __init__(self, name: str, path: str, old: str, new: str) -> None:
        super().__init__(name, path)
        self.old, self.new = old, new

    def get_code(self, fullname: str) -> CodeType:
        """The code of the changed source; never that of a cache."""
        source = self.get_data(self.path).decode()
        count = source.count(self.old)
        assert count == 1, f"{self.path} has {count} times the text to change: {self.old!r}"
        return compile(source.replace(self.old, self.new), self.path, "exec")


class _Finder(MetaPathFinder):
    """Finds one module, and has it loaded changed."""

    def __init__(self, name: str, old: str, new: str) -> None:
        self.name, self.old, self.new = name, old, new

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The changed module under its name; other modules are left to other finders."""
        if fullname != self.name:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None and spec.origin is not None, f"there is no module {fullname}"
        spec.loader = _Changed(fullname, spec.origin, self.old, self.new)
        return spec


@contextmanager
def mutated(module: str, old: str, new: str) -> Iterator[None]:
    """While this lasts, imports of the compiler give one whose `module` (a path below ``compiler/``) has `new` in place of `old`.

    AssertionError where the module does not have `old` exactly once.
    """
    name = "fusekit.compiler." + module.removesuffix(".py").replace("/", ".")
    finder = _Finder(name, old, new)
    before, package = _taken_out(), fusekit.compiler
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module(name)
        yield
    finally:
        sys.meta_path.remove(finder)
        _taken_out()
        sys.modules.update(before)
        fusekit.compiler = package


def _taken_out() -> dict[str, ModuleType]:
    """The modules of `ANEW`, no longer in ``sys.modules``."""
    names = [n for n in sys.modules if n in ANEW or n.startswith(tuple(f"{package}." for package in ANEW))]
    return {name: sys.modules.pop(name) for name in names}
