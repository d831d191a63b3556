"""Chapter 19."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch19_beyond import fsq, nearest_direction, snake_backward, snake_beta_backward


def _unit(x, epsilon=1e-12, axis=1):
    return x / (np.linalg.norm(x, axis=axis, keepdims=True) + epsilon)


def _codes(x, codebook):
    return (x @ codebook.T).argmax(axis=1)


def _no_epsilon(x, codebook):
    with np.errstate(all="ignore"):
        return ((_unit(x, 0)[:, None] - _unit(codebook, 0)) ** 2).sum(axis=2).argmax(axis=1)


def _either_way(x, codebook):
    return np.abs(_unit(x) @ _unit(codebook).T).argmax(axis=1)


def _columns(x, codebook):
    return _codes(_unit(x, axis=0), _unit(codebook, axis=0))


def _snake(dx=lambda dx, dy, x, a: dx, dalpha=lambda d, dy, x, a: d):
    def run(dy, saved):
        right = snake_backward(dy, saved)
        return dx(right[0], dy, *saved), dalpha(right[1], dy, *saved)

    return run


def _beta(**changes):
    def run(dy, saved):
        names = ("dx", "dalpha", "dbeta")
        right = dict(zip(names, snake_beta_backward(dy, saved), strict=True))
        return tuple(changes[name](right[name], dy, saved) if name in changes else right[name] for name in names)

    return run


def _rounded_down(x, levels):
    half = (np.asarray(levels) - 1) // 2
    digits = np.floor(half * np.tanh(x)).astype(np.int64)
    weights = np.concatenate([[1], np.cumprod(levels)[:-1]]).astype(np.int64)
    return digits / half, ((digits + half) * weights).sum(axis=1)


def _levels_as_weights(x, levels):
    half = (np.asarray(levels) - 1) // 2
    digits = np.rint(half * np.tanh(x)).astype(np.int64)
    return digits / half, ((digits + half) * np.cumprod(levels)).sum(axis=1)


def _whole(x, levels):
    y, codes = fsq(x, levels)
    return y * ((np.asarray(levels) - 1) // 2), codes


MISTAKES = {
    "nearest_direction": (
        Mistake(_either_way, "the opposite direction is the farthest one: no magnitude of the product"),
        Mistake(_columns, "a vector's length is over its D numbers (axis 1), not over the vectors"),
        Mistake(_no_epsilon, "that is the farthest direction: the largest product, or the smallest distance"),
        Mistake(lambda x, c: nearest_direction(x, c).astype(float), "the codes are whole numbers (indices)"),
    ),
    "snake_backward": (
        Mistake(_snake(dalpha=lambda d, dy, x, a: -d), "the sign of dalpha is wrong"),
        Mistake(_snake(dalpha=lambda d, dy, x, a: d / len(x)), "dalpha is a sum over all that share alpha, not a mean"),
        Mistake(
            _snake(dalpha=lambda d, dy, x, a: -(dy * (np.sin(a * x) / a) ** 2).sum(axis=0)),
            "alpha stands inside of the sine, too: there is a second term in dalpha",
        ),
        Mistake(
            _snake(dx=lambda dx, dy, x, a: dy * (1 + 2 * np.sin(a * x))),
            "the cosine is missing: the derivative of sin² is 2 sin cos",
        ),
    ),
    "fsq": (
        Mistake(_rounded_down, "rounded down; round to the nearest"),
        Mistake(_levels_as_weights, "the first digit weighs 1, the second levels[0]: the weights begin with 1"),
        Mistake(_whole, "y is divided by (L-1)/2, so that it lies from -1 to 1"),
        Mistake(
            lambda x, levels: (fsq(x, levels)[0], fsq(x, levels)[1].astype(float)),
            "the codes are floats; they are whole numbers",
        ),
    ),
    "snake_beta_backward": (
        Mistake(_beta(dalpha=lambda d, dy, saved: d / len(dy)), "dalpha is a sum over all that share it, not a mean"),
        Mistake(_beta(dx=lambda d, dy, saved: d - dy), "the derivative of x itself, 1, is missing in dx"),
        Mistake(_beta(dalpha=lambda d, dy, saved: d * saved[2]), "dalpha is divided by beta: the whole wave is"),
    ),
}
