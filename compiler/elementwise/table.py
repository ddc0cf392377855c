"""The table of elementwise ops, and the decorator that fills it."""

from __future__ import annotations

from collections.abc import Callable

from ..expr import Expr

Definition = Callable[..., Expr]

TABLE: dict[str, Definition] = {}


def elementwise(name: str) -> Callable[[Definition], Definition]:
    """Register a definition under the ONNX op name `name`."""

    def register(definition: Definition) -> Definition:
        assert name not in TABLE, f"{name} is defined twice"
        TABLE[name] = definition
        return definition

    return register
