"""fusekit compiles ONNX models into fused native code, runs them on boards and measures what fusion bought.

>>> import fusekit
>>> bundle = fusekit.compile("model.onnx", target="host", fusion="full", threads=1)  # doctest: +SKIP
>>> model = fusekit.load(bundle)                                                     # doctest: +SKIP
>>> outputs = model.run({"input": x})                                                # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    from .compiler.bundle import Bundle
    from .toolkit.api import compile, load
    from .toolkit.model import Model

__version__ = "0.1.0"
__all__ = ["Bundle", "Model", "UserError", "__version__", "compile", "load"]


def __getattr__(name: str) -> object:
    # llvmlite, onnx and numpy take most of a second to import: they wait for the first use.
    match name:
        case "compile" | "load":
            from .toolkit import api

            return getattr(api, name)
        case "Model":
            from .toolkit.model import Model

            return Model
        case "Bundle":
            from .compiler.bundle import Bundle

            return Bundle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
