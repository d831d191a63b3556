"""exp, expm1, sigmoid, tanh and Φ of one float32, in plain arithmetic that compiles to vector instructions.

A call of the C library's `exp` inside a loop keeps the compiler from vectorising it. These functions hold nothing but
+, ·, /, comparisons and integer shifts, so a loop over them handles 8 (AVX2) or 16 (AVX-512) numbers at once. IEEE 754
fixes the result of each step, so unlike a library's `exp` they give the same bits on all machines that multiply and
add in one instruction (products.py); that one rounds once, and halves the length of the chain of steps.

The method is the classical one (Muller, "Elementary Functions", 2016, on range reduction). With n the integer nearest
to x / ln 2:

    x = n ln 2 + r,  |r| <= ln 2 / 2,        exp(x) = 2ⁿ exp(r)

exp(r) - 1 is a Taylor polynomial, short because r is small; 2ⁿ is written into the exponent bits of a float.
The first four are within 4 units in the last place of the true value for every float32, infinities included; Φ is a
published fit, good to 3e-7. NaN stays NaN.

Call those at the end, exp32 ... normal_cdf32, from `@njit` functions. What they compute is written above them, as
formulas [formula.py]. Constants are np.float32 because Numba computes float32 · Python float in float64.
"""

import numpy as np

from minicodec.kernels.cpu.engine.formula import for_numba, multiply_add, select

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


def between(x, lowest, highest):
    """min(max(x, lowest), highest), `lowest` for NaN."""
    x = select(x > lowest, x, lowest)
    return select(x < highest, x, highest)


def power_of_two(n):
    """2ⁿ for an int32 -126 <= n <= 127, by writing the exponent bits of a float32."""
    return ((n + 127) << 23).as_bits()


def reduce(x):
    """n (int32) and exp(r) - 1 for a float32 x = n ln 2 + r with |r| <= ln 2 / 2."""
    rounded = multiply_add(x, LOG2_E, ROUNDER)
    n = rounded.bits() - ROUNDER_BITS
    n_float = rounded - ROUNDER
    r = multiply_add(-n_float, LN2_LOW, multiply_add(-n_float, LN2_HIGH, x))
    tail = multiply_add(r, multiply_add(r, multiply_add(r, C7, C6), C5), C4)
    tail = multiply_add(r, multiply_add(r, tail, C3), C2)
    return n, multiply_add(r * r, tail, r)


def exp(x):
    """e to the power of x."""
    n, e = reduce(between(x, EXP_LOWEST, EXP_HIGHEST))
    half = n >> 1  # 2ⁿ itself leaves the normal numbers at n = 128 and n < -126; its root does not
    scale = power_of_two(half)
    y = multiply_add(scale, e, scale) * power_of_two(n - half)
    return select(x.is_nan(), x, y)


def expm1(x):
    """exp(x) - 1, exact also for small x, where exp(x) would round to 1."""
    n, e = reduce(between(x, EXPM1_LOWEST, EXP_HIGHEST))
    half = power_of_two(n - 1)  # all halved, since 2ⁿ overflows at n = 128
    y = TWO * multiply_add(half, e, half - HALF)
    return select(x.is_nan(), x, y)


def sigmoid(x):
    """1 / (1 + exp(-x)), by e = exp(-|x|), which cannot overflow."""
    e = exp(-abs(x))
    return select(x < ZERO, e, ONE) / (ONE + e)


def tanh(x):
    """With e = exp(-2|x|) - 1, tanh |x| = -e / (2 + e)."""
    e = expm1(-TWO * abs(x))
    y = -e / (TWO + e)
    return select(x < ZERO, -y, y)


def normal_density(x):
    """φ(x) = exp(-x²/2) / √(2π)."""
    return INVERSE_SQRT_2PI * exp(-HALF * x * x)


def normal_cdf(x):
    """Φ(x) = ∫ φ from -∞ to x, to 3e-7 [Abramowitz64, formula 26.2.17].

    The upper tail is φ(x) times a polynomial in t = 1 / (1 + 0.2316419 x); the lower one is its mirror image.
    """
    t = ONE / (ONE + P * abs(x))
    tail = normal_density(x) * (t * (B1 + t * (B2 + t * (B3 + t * (B4 + t * B5)))))
    return select(x < ZERO, tail, ONE - tail)


exp32, expm1_32, sigmoid32, tanh32 = for_numba(exp), for_numba(expm1), for_numba(sigmoid), for_numba(tanh)
normal_density32, normal_cdf32 = for_numba(normal_density), for_numba(normal_cdf)
