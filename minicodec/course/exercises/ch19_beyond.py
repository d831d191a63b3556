"""Chapter 19: beyond EnCodec: normalised codes, Snake, finite scalar quantization."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function
from minicodec.ops.nearest_codeword import nearest_codeword_forward


def nearest_direction(x, codebook):
    """x (n,D), codebook (N,D) -> codes (n): the codeword whose direction is nearest to that of x.

    Both are divided by their lengths (plus 1e-12) before they are compared. Ties go to the lowest index.
    """
    return nearest_codeword_forward(_unit(x), _unit(codebook))[0]


def _unit(x):
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-12)


def _not_normalised(x, codebook):
    return nearest_codeword_forward(x, codebook)[0]


def _only_x(x, codebook):
    return nearest_codeword_forward(_unit(x), codebook)[0]


def _only_the_codebook(x, codebook):
    return (x @ codebook.T).argmax(axis=1)


def _directions(rng, fresh):
    for n, N, D in [(6, 4, 2), (20, 8, 3), (9 + int(fresh), 16, 5)]:
        loudness = 10 ** rng.uniform(-2, 2, size=(n, 1))
        yield loudness * rng.normal(size=(n, D)), 10 ** rng.uniform(-1, 1, size=(N, 1)) * rng.normal(size=(N, D))


def snake_backward(dy, saved):
    """dy (n,C) -> dx (n,C), dalpha (C), the gradients of y = x + sin²(alpha x) / alpha. saved: (x, alpha)."""
    x, alpha = saved
    slope = np.sin(2 * alpha * x)  # 2 sin cos
    dalpha = dy * (x * slope / alpha - (np.sin(alpha * x) / alpha) ** 2)
    return dy * (1 + slope), dalpha.sum(axis=0)


def _no_line(dy, saved):
    dx, dalpha = snake_backward(dy, saved)
    return dx - dy, dalpha


def _half_angle(dy, saved):
    x, alpha = saved
    return dy * (1 + np.sin(alpha * x)), snake_backward(dy, saved)[1]


def _divided_by_alpha(dy, saved):
    x, alpha = saved
    return dy * (1 + np.sin(2 * alpha * x) / alpha), snake_backward(dy, saved)[1]


def _denominator_forgotten(dy, saved):
    x, alpha = saved
    return snake_backward(dy, saved)[0], (dy * x * np.sin(2 * alpha * x) / alpha).sum(axis=0)


def _waves(rng, fresh):
    for n, C in [(1, 1), (5, 3), (8 + int(fresh), 2)]:
        yield rng.normal(size=(n, C)), (rng.normal(size=(n, C)), rng.uniform(0.5, 3, size=C))


def snake_beta_backward(dy, saved):
    """dy (n,C) -> dx (n,C), dalpha (C), dbeta (C), the gradients of y = x + sin²(alpha x) / beta.

    saved: (x, alpha, beta). Here a wave has a frequency and a height of its own, as in BigVGAN.
    """
    x, alpha, beta = saved
    slope = np.sin(2 * alpha * x) / beta
    dbeta = -dy * (np.sin(alpha * x) / beta) ** 2
    return dy * (1 + alpha * slope), (dy * x * slope).sum(axis=0), dbeta.sum(axis=0)


def _alpha_cancelled(dy, saved):
    x, alpha, _ = saved
    return dy * (1 + np.sin(2 * alpha * x)), *snake_beta_backward(dy, saved)[1:]


def _beta_rising(dy, saved):
    dx, dalpha, dbeta = snake_beta_backward(dy, saved)
    return dx, dalpha, -dbeta


def _beta_once(dy, saved):
    dx, dalpha, dbeta = snake_beta_backward(dy, saved)
    return dx, dalpha, dbeta * saved[2]


def _two_waves(rng, fresh):
    for n, C in [(1, 1), (5, 3), (8 + int(fresh), 2)]:
        yield rng.normal(size=(n, C)), (rng.normal(size=(n, C)), *rng.uniform(0.5, 3, size=(2, C)))


def fsq(x, levels):
    """x (n,D), levels (D), odd whole numbers -> y (n,D), codes (n): finite scalar quantization.

    Squeeze each dimension to between -(L-1)/2 and (L-1)/2 by (L-1)/2 · tanh(x), round to whole numbers; y is that
    divided by (L-1)/2, so from -1 to 1. The code is the whole numbers, shifted to 0 … L - 1, as digits of one number:
    the first dimension is the lowest digit (weight 1), the second has weight levels[0], the third levels[0]·levels[1].
    """
    half = (np.asarray(levels) - 1) // 2
    digits = np.rint(half * np.tanh(x)).astype(np.int64)
    weights = np.concatenate([[1], np.cumprod(levels)[:-1]]).astype(np.int64)
    return digits / half, ((digits + half) * weights).sum(axis=1)


def _clipped(x, levels):
    half = (np.asarray(levels) - 1) // 2
    digits = np.clip(np.rint(half * x), -half, half).astype(np.int64)
    weights = np.concatenate([[1], np.cumprod(levels)[:-1]]).astype(np.int64)
    return digits / half, ((digits + half) * weights).sum(axis=1)


def _highest_first(x, levels):
    half = (np.asarray(levels) - 1) // 2
    digits = np.rint(half * np.tanh(x)).astype(np.int64)
    weights = np.concatenate([[1], np.cumprod(levels[::-1])[:-1]]).astype(np.int64)[::-1]
    return digits / half, ((digits + half) * weights).sum(axis=1)


def _not_shifted(x, levels):
    half = (np.asarray(levels) - 1) // 2
    y, codes = fsq(x, levels)
    return y, codes - (half * np.concatenate([[1], np.cumprod(levels)[:-1]])).sum().astype(np.int64)


def _latents(rng, fresh):
    for n, levels in [(6, [3, 5]), (10, [7, 5, 3]), (4 + int(fresh), [9])]:
        yield 1.5 * rng.normal(size=(n, len(levels))), np.array(levels)


EXERCISES = [
    of_function(
        nearest_direction, 19, _directions,
        mistakes=(
            Mistake(_not_normalised, "lengths still count: divide both x and the codewords by theirs"),
            Mistake(_only_x, "the codewords have lengths of their own: divide them, too"),
            Mistake(_only_the_codebook, "a long codeword wins every product: divide by its length"),
        ),
        hint="with unit vectors, the nearest codeword is the one with the largest product.",
    ),
    of_function(
        snake_backward, 19, _waves, points=2,
        mistakes=(
            Mistake(_no_line, "the derivative of x itself, 1, is missing in dx"),
            Mistake(_half_angle, "the derivative of sin² is 2 sin cos = sin of twice the angle"),
            Mistake(_divided_by_alpha, "the alpha of the chain rule cancels the division by alpha"),
            Mistake(_denominator_forgotten, "alpha stands in the denominator, too: there is a second term in dalpha"),
        ),
        hint="d/dx sin²(ax)/a = sin(2ax); for alpha use the quotient rule, and sum over all that share it.",
    ),
    of_function(
        fsq, 19, _latents,
        mistakes=(
            Mistake(_clipped, "squeeze by tanh, do not clip: tanh keeps a slope for the encoder to learn from"),
            Mistake(_highest_first, "the first dimension is the lowest digit"),
            Mistake(_not_shifted, "codes start at 0: shift each whole number by (L-1)/2 first"),
        ),
        hint="np.cumprod(levels) gives the weights of the digits.",
    ),
    of_function(
        snake_beta_backward, 19, _two_waves, points=2, variant_of="snake_backward",
        mistakes=(
            Mistake(_alpha_cancelled, "alpha and beta are two numbers now: the chain rule's alpha does not cancel"),
            Mistake(_beta_rising, "a larger beta makes the wave smaller: the sign of dbeta"),
            Mistake(_beta_once, "the derivative of 1/beta is -1/beta²"),
        ),
        hint="d/dx sin²(ax)/b = a sin(2ax)/b; sum dalpha and dbeta over all that share them.",
    ),
]  # fmt: skip
