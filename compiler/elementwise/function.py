"""Elementary functions."""

from __future__ import annotations

from ..approximation import error_function, exponential, hyperbolic, logarithm, trigonometric
from ..expr import Expr
from .table import elementwise


@elementwise("Exp")
def exp(x: Expr) -> Expr:
    return exponential.exp(x)


@elementwise("Log")
def log(x: Expr) -> Expr:
    return logarithm.log(x)


@elementwise("Sigmoid")
def sigmoid(x: Expr) -> Expr:
    return exponential.sigmoid(x)


@elementwise("Erf")
def erf(x: Expr) -> Expr:
    return error_function.erf(x)


@elementwise("Sin")
def sin(x: Expr) -> Expr:
    return trigonometric.sin(x)


@elementwise("Cos")
def cos(x: Expr) -> Expr:
    return trigonometric.cos(x)


@elementwise("Tan")
def tan(x: Expr) -> Expr:
    return trigonometric.tan(x)


@elementwise("Asin")
def asin(x: Expr) -> Expr:
    return trigonometric.asin(x)


@elementwise("Acos")
def acos(x: Expr) -> Expr:
    return trigonometric.acos(x)


@elementwise("Atan")
def atan(x: Expr) -> Expr:
    return trigonometric.atan(x)


@elementwise("Sinh")
def sinh(x: Expr) -> Expr:
    return hyperbolic.sinh(x)


@elementwise("Cosh")
def cosh(x: Expr) -> Expr:
    return hyperbolic.cosh(x)


@elementwise("Tanh")
def tanh(x: Expr) -> Expr:
    return hyperbolic.tanh(x)


@elementwise("Asinh")
def asinh(x: Expr) -> Expr:
    return hyperbolic.asinh(x)


@elementwise("Acosh")
def acosh(x: Expr) -> Expr:
    return hyperbolic.acosh(x)


@elementwise("Atanh")
def atanh(x: Expr) -> Expr:
    return hyperbolic.atanh(x)
