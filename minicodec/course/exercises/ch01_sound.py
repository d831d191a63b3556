"""Chapter 1: sound as numbers."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function


def quantize(x, bits):
    """x (*x) in [-1, 1], bits -> codes (*x): round(x · 2^(bits-1)), at least -2^(bits-1), at most 2^(bits-1) - 1."""
    half = 2 ** (bits - 1)
    return np.clip(np.rint(np.asarray(x) * half), -half, half - 1).astype(np.int64)


def _floored(x, bits):
    half = 2 ** (bits - 1)
    return np.clip(np.floor(np.asarray(x) * half), -half, half - 1).astype(np.int64)


def _wrapped(x, bits):
    half = 2 ** (bits - 1)
    return ((np.rint(np.asarray(x) * half).astype(np.int64) + half) % (2 * half)) - half


def _one_bit_more(x, bits):
    return quantize(x, bits + 1)


def _waves(rng, fresh):
    n = 9 + 4 * int(fresh)
    yield np.linspace(-1, 1, n), 3
    yield rng.uniform(-1, 1, size=(2, n)), 8
    yield 0.3 * rng.normal(size=n).clip(-3, 3), 16
    yield np.array([1.0, -1.0, 0.999, 0.5, 0.0, 0.01 * rng.uniform()]), 4
    yield np.zeros((2, 3)), 8
    yield np.array([-1.0, -0.2, 0.9, 1.0]), 1
    yield rng.uniform(-1, 1, size=n).astype(np.float32), 12


def snr(signal, estimate):
    """signal (*x), estimate (*x) -> dB, a number: 10 log10 of the energy of the signal over that of the error."""
    return 10 * np.log10(np.sum(signal**2) / np.sum((estimate - signal) ** 2))


def _twenty(signal, estimate):
    return 2 * snr(signal, estimate)


def _wrong_way(signal, estimate):
    return -snr(signal, estimate)


def _of_estimate(signal, estimate):
    return 10 * np.log10(np.sum(estimate**2) / np.sum((estimate - signal) ** 2))


def _pairs(rng, fresh):
    for shape in [(10 + int(fresh),), (2, 7)]:
        signal = rng.normal(size=shape)
        yield signal, 0.7 * signal + 0.1 * rng.normal(size=shape)
        yield signal, np.zeros(shape) + 0.01


def mu_law(x, bits, mu):
    """x (*x) in [-1, 1], bits, mu -> y (*x): compressed, quantised, expanded again.

    compress: f(x) = sign(x) ln(1 + mu |x|) / ln(1 + mu); quantize to `bits` bits; divide by 2^(bits-1); expand by the
    inverse of f: sign(c) ((1 + mu)^|c| - 1) / mu.
    """
    compressed = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    c = quantize(compressed, bits) / 2 ** (bits - 1)
    return np.sign(c) * np.expm1(np.abs(c) * np.log1p(mu)) / mu


def _uniform(x, bits, mu):
    return quantize(x, bits) / 2 ** (bits - 1)


def _never_expanded(x, bits, mu):
    compressed = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    return quantize(compressed, bits) / 2 ** (bits - 1)


def _sign_lost(x, bits, mu):
    return np.abs(mu_law(x, bits, mu))


def _companded(rng, fresh):
    for bits, mu in [(8, 255.0), (4, 255.0), (6, 40.0 + 10 * int(fresh))]:
        yield rng.uniform(-1, 1, size=(2, 9)) * np.array([[1.0], [0.01]]), bits, mu
    yield np.array([0.0, 1.0, -1.0, 1e-4, -0.5]), 8, 255.0


def a_law(x, bits, a):
    """x (*x) in [-1, 1], bits, a -> y (*x): as mu_law, but with the European curve.

    f(x) = sign(x) · a|x| / (1 + ln a) for |x| < 1/a, and sign(x) · (1 + ln(a|x|)) / (1 + ln a) beyond; quantize;
    divide by 2^(bits-1); expand by the inverse of f.
    """
    size, top = np.abs(x), 1 + np.log(a)
    compressed = np.sign(x) * np.where(size < 1 / a, a * size, 1 + np.log(np.maximum(a * size, 1))) / top
    c = quantize(compressed, bits) / 2 ** (bits - 1)
    size = np.abs(c) * top
    return np.sign(c) * np.where(size < 1, size, np.exp(np.maximum(size, 1) - 1)) / a


def _logarithm_everywhere(x, bits, a):
    return mu_law(x, bits, a)


EXERCISES = [
    of_function(
        quantize, 1, _waves,
        mistakes=(
            Mistake(_floored, "rounded down: that moves every sample by half a step on average; round to the nearest"),
            Mistake(_wrapped, "+1 wrapped around to the most negative code, which makes a click: clip"),
            Mistake(_one_bit_more, "too many steps: with `bits` bits there are 2^bits codes for both signs together"),
        ),
        hint="np.rint rounds, np.clip keeps within bounds; the result must be of an integer type.",
    ),
    of_function(
        snr, 1, _pairs,
        mistakes=(
            Mistake(_twenty, "20 log10 is for amplitudes; a ratio of energies takes 10 log10"),
            Mistake(_wrong_way, "upside down: the signal's energy stands above"),
            Mistake(_of_estimate, "the energy above is that of the signal, not of the estimate"),
        ),
        hint="the error is estimate - signal.",
    ),
    of_function(
        mu_law, 1, _companded,
        mistakes=(
            Mistake(_uniform, "nothing was compressed: this is the uniform quantiser"),
            Mistake(_never_expanded, "not expanded: apply the inverse of f after the division"),
            Mistake(_sign_lost, "the sign is lost: f is odd, f(-x) = -f(x)"),
        ),
        hint="your `quantize` does the middle part; np.log1p(z) is ln(1 + z).",
    ),
    of_function(
        a_law, 1, _companded, variant_of="mu_law",
        mistakes=(
            Mistake(_logarithm_everywhere, "this is the mu law; the A law is a straight line below 1/a"),
            Mistake(lambda x, bits, a: np.abs(a_law(x, bits, a)), "the sign is lost: f is odd, f(-x) = -f(x)"),
        ),
        hint="two branches on the way there, two on the way back: they meet where a|x| = 1, at a code of 1/(1 + ln a).",
    ),
]  # fmt: skip
