"""The error function, and what is made of the tail of a normal distribution."""

from __future__ import annotations

from ..expr import Expr, op
from .exponential import exp_change, one_minus_exp2
from .float_bits import absolute, copy_sign, head, polynomial

# -log2(erfc(a)) = a (c0 + c1 a + … + c7 a^7) on 0 <= a <= 3.95: 0.63 * 2^-24 of erf(a).
_LOG2_ERFC = (
    *(5.975655949441716e-05, -0.0005573543021455407, 0.0018281221855431795, 0.000265211594523862),
    *(-0.02785228006541729, 0.14832158386707306, 0.9184446930885315, 1.6279070377349854),
)
# e^(a^2 / 2) erfc(a / sqrt(2)) / 2 = (c0 + c1 t + … + c10 t^10) / (a + 5/2) with t = a / (a + 5/2) - 3/8 on 0 <= a <= 14.6: 0.25 * 2^-24.
_SCALED_TAIL = (
    *(-0.028185544535517693, -0.06977367401123047, 0.022857505828142166, 0.11800311505794525),
    *(0.06138784810900688, -0.13690778613090515, -0.19921915233135223, 0.1914997696876526),
    *(0.4771864712238312, -0.9939485192298889, 0.8231226801872253),
)


def erf(x: Expr) -> Expr:
    """The error function to 3.5 ULP, never beyond 1."""
    # erf(a) = 1 - 2^-g with g = -log2(erfc(a)); erf(3.95) rounds to 1.
    a = op("min", absolute(x), 3.95)
    return copy_sign(one_minus_exp2(a * polynomial(a, _LOG2_ERFC)), x)


def gelu(x: Expr) -> Expr:
    """``x * (1 + erf(x / sqrt(2))) / 2`` to 4 ULP, denormal results included; NaN at minus infinity, as ONNX's formula gives."""
    # With Q(a) = erfc(a / sqrt(2)) / 2 the result is max(x, 0) - a Q(a). At 14.6 the product is 0.
    a = absolute(x)
    bounded = op("min", a, 14.6)
    t = bounded / (bounded + 2.5)
    # -a^2 = (first - a)(first + a) - first^2; the last square is exact.
    first = head(bounded)
    c, h = exp_change(first * first * -0.5, (first - bounded) * (bounded + first) * 0.5)
    scaled = t * polynomial(t - 0.375, _SCALED_TAIL)
    positive = op("muladd", a, 0.5, x * 0.5)
    return positive - op("muladd", scaled, c, scaled) * h * h
