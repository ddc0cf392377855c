"""Transcendental functions as polynomials over the primitives: float32 Exprs in, float32 Exprs out, no lookup tables.

Each function states its largest error in units of the last place (ULP) of the exact result. The bounds hold whether `muladd` rounds once
or twice, and whether or not the code generator contracts a product and a sum; a NaN gives NaN. Coefficients are minimax fits
(equal ripple on a Chebyshev grid by linear programming, weighted by the result), rounded to float32 one at a time from the lowest
power up, the others refitted after each.

Three devices recur:

- **Rounding by a magic number.** Adding 1.5 * 2**23 rounds a small value to an integer, which then stands in the low bits of the sum:
  one addition gives both the integer as a float (after subtracting again) and, shifted left by 23, the exponent field of a power of
  two. No conversion to an integer is needed, so a NaN meets none.
- **Two-constant reduction** (Cody and Waite 1980). ``x - n * ln 2`` with ``ln 2 = high + low`` where ``n * high`` has at most 24 bits: its
  product and difference are exact even without a fused multiply-add.
- **A few float64 operations** where a result needs more bits of an argument than float32 has: the exponent of a power, the angle of
  a sine. A product of two float32 values is exact in float64.
"""
