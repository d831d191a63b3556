"""Chapter 15: a language model of codes, and arithmetic that is the same everywhere."""

import numpy as np

from minicodec.codec.language_model import SLOWEST
from minicodec.course.catalogue import Mistake, of_function
from minicodec.ops.exact import fold


def positions(T, D):
    """T, D -> p (T,D): what is added to frame t, so that it knows when it is.

    p[t,i] = cos(t / 10000^(i/h)) and p[t,h+i] = sin(t / 10000^(i/h)), with h = D/2 and i = 0 … h - 1, but with
    h - 1 in the exponent's denominator: the first speed is 1, the last 1/10000.
    """
    return _positions(T, D)


def _positions(T, D, last=1, period=SLOWEST, first=0):
    half = D // 2
    phase = np.arange(first, first + T)[:, None] / float(period) ** (np.arange(half) / (half - last))
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)


def _sines_first(T, D):
    return np.roll(positions(T, D), D // 2, axis=1)


def _in_turn(T, D):
    return positions(T, D).reshape(T, 2, D // 2).transpose(0, 2, 1).reshape(T, D)


def _half_in_the_exponent(T, D):
    return _positions(T, D, last=0)


def _from_one(T, D):
    return _positions(T, D, first=1)


def _in_full_turns(T, D):
    return _positions(2 * T, D, period=SLOWEST)[::2]


def _faster_and_faster(T, D):
    return _positions(T, D, period=1 / SLOWEST)


def _lengths(rng, fresh):
    yield 5, 6
    yield 1, 4
    yield 20 + int(fresh), 10
    yield 3, 4


def causal_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, context: int) -> np.ndarray:
    """q (T,d), k (T,d), v (T,d) -> y (T,d): y[t] is a mean of the v[j], weighted by how well k[j] answers q[t].

    The scores are q[t]·k[j] / sqrt(d); the weights of frame t are their softmax over the frames
    j = t - context … t (those that exist): the frame itself and `context` frames before it.
    """
    return _attention(q, k, v, 0, context)


def _attention(q, k, v, ahead, context, scale=None, axis=1):
    delay = np.arange(len(q))[:, None] - np.arange(len(k))
    scores = q @ k.T * (1 / np.sqrt(q.shape[1]) if scale is None else scale)
    scores = np.where((delay >= -ahead) & (delay <= context), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return weights / weights.sum(axis=axis, keepdims=True) @ v


def _sees_all(q, k, v, context):
    return _attention(q, k, v, len(q), len(q))


def _sees_one_less(q, k, v, context):
    return _attention(q, k, v, 0, context - 1) if context else v + 1


def _hidden_by_zeros(q, k, v, context):
    delay = np.arange(len(q))[:, None] - np.arange(len(k))
    weights = np.exp(np.where((delay >= 0) & (delay <= context), q @ k.T / np.sqrt(q.shape[1]), 0))
    return weights / weights.sum(axis=1, keepdims=True) @ v


def _not_scaled(q, k, v, context):
    return _attention(q, k, v, 0, context, scale=1.0)


def _softmax_of_columns(q, k, v, context):
    return _attention(q, k, v, 0, context, axis=0)


def _queries(rng, fresh):
    for T, d, context in [(5, 4, 9), (6, 3, 2), (9 + int(fresh), 2, 1), (1, 3, 4), (4, 2, 0)]:
        yield *rng.normal(size=(3, T, d)), context
    q, k, v = rng.normal(size=(3, 4, 3))
    yield 1e5 * q, k, v, 2  # exp overflows


def _fold_task(x):
    """x (*b,n) -> y (*b): the sum over the last axis, in this order and no other.

    As long as n > 1 numbers are left, the second half is added to the first: with half = ceil(n / 2), number half + i
    is added to number i, for i = 0 … n - half - 1 (if n is odd, number half - 1 waits), and `half` numbers are left.
    """
    raise NotImplementedError


def _from_left(x):
    total = x[..., 0].copy()
    for i in range(1, x.shape[-1]):
        total = total + x[..., i]
    return total


def _numpys_sum(x):
    return x.sum(axis=-1)


def _neighbours(x):
    while x.shape[-1] > 1:
        odd = x[..., -1:] if x.shape[-1] % 2 else x[..., :0]
        even = x[..., : x.shape[-1] // 2 * 2]
        x = np.concatenate([even[..., ::2] + even[..., 1::2], odd], axis=-1)
    return x[..., 0]


def _floor_half(x):
    while (n := x.shape[-1]) > 1:
        half = n // 2
        rest = x[..., 2 * half :]
        x = np.concatenate([x[..., :half] + x[..., half : 2 * half], rest], axis=-1)
    return x[..., 0]


def _numbers(rng, fresh):
    """Small numbers and enormous ones that cancel: every order of adding loses other digits."""
    for shape in [(6, 12), (2, 2, 9 + 4 * int(fresh)), (4, 16), (5, 1), (11,)]:
        x = rng.uniform(-9, 9, size=shape)
        n = shape[-1] // 3
        huge = 10.0 ** rng.uniform(15, 17, size=(*shape[:-1], n))
        x[..., :n], x[..., n : 2 * n] = huge, -huge
        yield (rng.permuted(x, axis=-1),)
        yield (rng.permuted(x, axis=-1).astype(np.float32),)


EXERCISES = [
    of_function(
        positions, 15, _lengths,
        mistakes=(
            Mistake(_sines_first, "cosines stand in the first half, sines in the second"),
            Mistake(_in_turn, "cosines and sines take turns; here all cosines come first, then all sines"),
            Mistake(_half_in_the_exponent, "the last speed is 1/10000: the exponents are i / (D/2 - 1)"),
            Mistake(_from_one, "the first frame is number 0"),
            Mistake(_in_full_turns, "twice too fast: t itself is the angle at the first speed"),
            Mistake(_faster_and_faster, "the angles grow with i; t is divided by 10000^…, not multiplied"),
        ),
        hint="speeds = 10000.0 ** -(np.arange(h) / (h - 1)); the angles are t times these, (T,h).",
    ),
    of_function(
        causal_attention, 15, _queries, points=2,
        mistakes=(
            Mistake(_sees_all, "frames look at those after them, or farther back than `context`"),
            Mistake(_hidden_by_zeros, "scores of hidden frames are 0, and exp(0) is 1: they need -inf"),
            Mistake(_not_scaled, "the scores are not divided by sqrt(d)"),
            Mistake(_softmax_of_columns, "the softmax runs over the asking frames; each frame's weights add up to 1"),
            Mistake(_sees_one_less, "`context` frames before, AND the frame itself"),
        ),
        hint="scores of pairs that must not see each other become -inf; exp(-inf) is 0.",
    ),
    of_function(
        fold, 15, _numbers, task=_fold_task, rtol=0,
        mistakes=(
            Mistake(_from_left, "summed from left to right: nearly the same, but not to the last bit"),
            Mistake(_neighbours, "neighbours are added; it should be number i and number half + i"),
            Mistake(_numpys_sum, "x.sum() takes an order of its own, which NumPy does not promise"),
            Mistake(_floor_half, "half is rounded down; if n is odd, the MIDDLE number waits, not the last"),
        ),
        hint="x[..., :n - half] + x[..., half:n], then what waits.",
    ),
]  # fmt: skip
