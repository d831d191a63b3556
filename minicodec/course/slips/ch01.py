"""Chapter 1."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch01_sound import a_law, mu_law, quantize, snr


def _rounded(x, bits):
    return np.rint(np.asarray(x) * 2 ** (bits - 1))


def _squeezed(x, mu):
    return np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)


def _expanded(c, mu):
    return np.sign(c) * np.expm1(np.abs(c) * np.log1p(mu)) / mu


def _a_squeezed(x, a):
    size = np.abs(x)
    return np.sign(x) * np.where(size < 1 / a, a * size, 1 + np.log(np.maximum(a * size, 1))) / (1 + np.log(a))


def _always_exponential(x, bits, a):
    c = quantize(_a_squeezed(x, a), bits) / 2 ** (bits - 1)
    return np.sign(c) * np.exp(np.abs(c) * (1 + np.log(a)) - 1) / a


def _always_a_line(x, bits, a):
    c = quantize(_a_squeezed(x, a), bits) / 2 ** (bits - 1)
    return c * (1 + np.log(a)) / a


MISTAKES = {
    "quantize": (
        Mistake(
            lambda x, bits: np.clip(_rounded(x, bits), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
            "the codes are floats; they must be whole numbers, of an integer type: .astype(int)",
        ),
        Mistake(
            lambda x, bits: np.clip(_rounded(x, bits), 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1).astype(int),
            "the lowest code is -2^(bits-1): below zero there is one code more than above",
        ),
        Mistake(
            lambda x, bits: _rounded(x, bits).astype(int),
            "+1 got a code that `bits` bits do not have: the highest is 2^(bits-1) - 1",
        ),
        Mistake(
            lambda x, bits: quantize(x, bits).astype(np.int8),
            "8 bits are too few for these codes, and they wrap around: take a larger integer type",
        ),
        Mistake(
            lambda x, bits: np.clip(
                np.trunc(np.asarray(x) * 2 ** (bits - 1)), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
            ).astype(int),
            "cut off towards zero, as .astype(int) does by itself: round first",
        ),
    ),
    "snr": (
        Mistake(lambda s, e: snr(s, e) * np.log(10), "that is the natural logarithm; decibels take log10"),
        Mistake(
            lambda s, e: 10 * np.log10(np.abs(s).sum() / np.abs(e - s).sum()),
            "these are sums of amplitudes; an energy is a sum of squares",
        ),
        Mistake(lambda s, e: snr(s, e) / 2, "a root too many: 10 log10 is of the energies themselves"),
        Mistake(lambda s, e: 10 ** (snr(s, e) / 10), "that is the ratio itself; decibels are 10 log10 of it"),
        Mistake(
            lambda s, e: 10 * np.log10((s**2).sum(axis=-1) / ((e - s) ** 2).sum(axis=-1)).mean(),
            "one ratio for each row, and their mean; the energies are of all samples",
        ),
    ),
    "mu_law": (
        Mistake(
            lambda x, bits, mu: x / np.abs(x) * np.abs(mu_law(x, bits, mu)),
            "x/|x| has no value at 0: np.sign(x) has",
        ),
        Mistake(
            lambda x, bits, mu: _expanded(quantize(np.sign(x) * np.log1p(mu * np.abs(x)), bits) / 2 ** (bits - 1), mu),
            "the curve is not divided by ln(1 + mu), and leaves [-1, 1]",
        ),
        Mistake(
            lambda x, bits, mu: _expanded(quantize(_squeezed(x, mu), bits) / 2**bits, mu),
            "divide the codes by 2^(bits-1): they lie between -2^(bits-1) and 2^(bits-1)",
        ),
        Mistake(lambda x, bits, mu: _expanded(_squeezed(x, mu), mu), "nothing was quantised in between"),
    ),
    "a_law": (
        Mistake(_always_exponential, "the way back has a straight line, too, where |c| < 1/(1 + ln a)"),
        Mistake(_always_a_line, "the way back is an exponential where |c| > 1/(1 + ln a)"),
        Mistake(lambda x, bits, a: a_law(x, bits + 1, a), "that is one bit too many"),
    ),
}
