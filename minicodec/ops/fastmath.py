"""exp, expm1, sigmoid, tanh and Φ of one float32, in plain arithmetic that compiles to vector instructions.

A call of the C library's `exp` inside a loop keeps the compiler from vectorising it. These functions hold nothing but
+, ·, /, comparisons and integer shifts, so a loop over them handles 8 (AVX2) or 16 (AVX-512) numbers at once. IEEE 754
fixes the result of each step, so unlike a library's `exp` they give the same bits on all machines that multiply and
add in one instruction (ops/engine.py); that one rounds once, and halves the length of the chain of steps.

The method is the classical one (Muller, "Elementary Functions", 2016, on range reduction). With n the integer nearest
to x / ln 2:

    x = n ln 2 + r,  |r| <= ln 2 / 2,        exp(x) = 2ⁿ exp(r)

exp(r) - 1 is a Taylor polynomial, short because r is small; 2ⁿ is written into the exponent bits of a float.
The first four are within 4 units in the last place of the true value for every float32, infinities included; Φ is a
published fit, good to 3e-7. NaN stays NaN.

Call them from `@njit` functions. Constants are np.float32 because Numba computes float32 · Python float in float64.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

# For functions that only compiled code calls: without an entrance from Python they compile in a third of the time.
OPTIONS: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = njit(cache=True, nogil=True, error_model="numpy", **OPTIONS)

LOG2_E = np.float32(1.44269504)
LN2_HIGH = np.float32(0.693359375)  # ln 2 to 9 bits, so that n · LN2_HIGH is exact ...
LN2_LOW = np.float32(-2.12194440e-4)  # ... and the rest of ln 2

# Adding 1.5 · 2²³ to a small float32 rounds it to an integer, which then stands in the lowest bits.
ROUNDER = np.float32(12582912)
ROUNDER_BITS = np.int32(0x4B400000)

ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
C2, C3, C4, C5, C6, C7 = (np.float32(c) for c in (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040))

INVERSE_SQRT_2PI = np.float32(0.398942280)
P, B1, B2 = np.float32(0.2316419), np.float32(0.319381530), np.float32(-0.356563782)
B3, B4, B5 = np.float32(1.781477937), np.float32(-1.821255978), np.float32(1.330274429)

EXP_LOWEST, EXP_HIGHEST = np.float32(-104), np.float32(89)  # beyond: exp is 0 and inf in float32
EXPM1_LOWEST = np.float32(-18)  # below: expm1 is -1 in float32


def _multiply_add(typing_context, a, b, c):
    """a · b + c, rounded once where the machine has an instruction for it; Numba by itself never uses that."""

    def emit(context, builder, signature, args):
        number = ir.FloatType()
        fused = ir.FunctionType(number, [number] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, fused, "llvm.fmuladd.f32"), args)

    return types.float32(types.float32, types.float32, types.float32), emit


multiply_add: Any = intrinsic(_multiply_add)


@inner
def between(x, lowest, highest):
    """min(max(x, lowest), highest), `lowest` for NaN; Numba's min and max take longer to compile than all else here."""
    x = x if x > lowest else lowest
    return x if x < highest else highest


@inner
def power_of_two(n):
    """2ⁿ for an int32 -126 <= n <= 127, by writing the exponent bits of a float32."""
    return np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32)


@inner
def reduce32(x):
    """n (int32) and exp(r) - 1 for a float32 x = n ln 2 + r with |r| <= ln 2 / 2."""
    rounded = np.float32(multiply_add(x, LOG2_E, ROUNDER))
    n = np.int32(rounded.view(np.int32) - ROUNDER_BITS)
    n_float = rounded - ROUNDER
    r = multiply_add(-n_float, LN2_LOW, multiply_add(-n_float, LN2_HIGH, x))
    tail = multiply_add(r, multiply_add(r, multiply_add(r, C7, C6), C5), C4)
    tail = multiply_add(r, multiply_add(r, tail, C3), C2)
    return n, multiply_add(r * r, tail, r)


@inner
def exp32(x):
    """exp(x) of a float32."""
    inside = between(x, EXP_LOWEST, EXP_HIGHEST)
    n, e = reduce32(inside)
    half = np.int32(n >> np.int32(1))  # 2ⁿ itself leaves the normal numbers at n = 128 and n < -126; its root does not
    scale = power_of_two(half)
    y = multiply_add(scale, e, scale) * power_of_two(np.int32(n - half))
    return y if x == x else x


@inner
def expm1_32(x):
    """exp(x) - 1 of a float32, exact also for small x, where exp(x) would round to 1."""
    inside = between(x, EXPM1_LOWEST, EXP_HIGHEST)
    n, e = reduce32(inside)
    half = power_of_two(np.int32(n - np.int32(1)))  # all halved, since 2ⁿ overflows at n = 128
    y = TWO * multiply_add(half, e, half - HALF)
    return y if x == x else x


@inner
def sigmoid32(x):
    """1 / (1 + exp(-x)) of a float32, by e = exp(-|x|), which cannot overflow."""
    e = exp32(-abs(x))
    return (e if x < ZERO else ONE) / (ONE + e)


@inner
def tanh32(x):
    """tanh(x) of a float32: with e = exp(-2|x|) - 1, tanh |x| = -e / (2 + e)."""
    e = expm1_32(-TWO * abs(x))
    y = -e / (TWO + e)
    return -y if x < ZERO else y


@inner
def normal_density32(x):
    """φ(x) = exp(-x²/2) / √(2π) of a float32."""
    return INVERSE_SQRT_2PI * exp32(-HALF * x * x)


@inner
def normal_cdf32(x):
    """Φ(x) = ∫ φ from -∞ to x, of a float32, to 3e-7 [Abramowitz64, formula 26.2.17].

    The upper tail is φ(x) times a polynomial in t = 1 / (1 + 0.2316419 x); the lower one is its mirror image.
    """
    t = ONE / (ONE + P * abs(x))
    tail = normal_density32(x) * (t * (B1 + t * (B2 + t * (B3 + t * (B4 + t * B5)))))
    return tail if x < ZERO else ONE - tail
