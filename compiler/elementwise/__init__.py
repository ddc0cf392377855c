"""Every elementwise op, once: a Python function from operand Exprs to a result Expr, registered under its ONNX name.

Adding an op here makes it work alone, as prologue and as epilogue of every anchor, on every target and in every interpreter.
Attributes are keyword arguments with ONNX's defaults. Functions that no primitive computes are in `approximation`, which states their
largest errors.

NaN: the primitives `max` and `min` keep one in their first operand, so the value comes first and the bound second.
"""

from . import activation, arithmetic, function, logic
from .table import TABLE, Definition

__all__ = ["TABLE", "Definition", "activation", "arithmetic", "function", "logic"]
