"""Chapter 15."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch15_language_model import causal_attention, positions
from minicodec.ops.exact import fold


def _attention(q, k, v, far, scale=None):
    delay = np.arange(len(q))[:, None] - np.arange(len(k))
    scores = q @ k.T * (1 / np.sqrt(q.shape[1]) if scale is None else scale)
    weights = np.where((delay >= 0) & (delay <= far), np.exp(scores), 0)
    return weights / weights.sum(axis=1, keepdims=True) @ v


def _sees_the_future(q, k, v, context):
    return causal_attention(q[::-1], k[::-1], v[::-1], context)[::-1]


def _not_normalised(q, k, v, context):
    delay = np.arange(len(q))[:, None] - np.arange(len(k))
    return np.where((delay >= 0) & (delay <= context), np.exp(q @ k.T / np.sqrt(q.shape[1])), 0) @ v


def _once(x):
    half = -(-x.shape[-1] // 2)
    return np.concatenate([x[..., : x.shape[-1] - half] + x[..., half:], x[..., x.shape[-1] - half : half]], axis=-1)


def _everything(x):
    return fold(x.reshape(-1))


MISTAKES = {
    "positions": (
        Mistake(lambda T, D: positions(T, D).T.copy(), "frames go down, the numbers of a frame across: (T,D)"),
        Mistake(lambda T, D: positions(T, 2 * D)[:, ::2].copy(), "D/2 speeds, not D: each has a cosine and a sine"),
    ),
    "causal_attention": (
        Mistake(
            lambda q, k, v, context: _attention(q, k, v, context),
            "exp of a large score is infinite: subtract the row's largest score first",
        ),
        Mistake(
            lambda q, k, v, context: causal_attention(q, k, v, len(q)),
            "`context` is ignored: frames farther back than that are hidden",
        ),
        Mistake(_sees_the_future, "frames look ahead; they may look back only"),
        Mistake(
            lambda q, k, v, context: _attention(q, k, v, context, 1 / q.shape[1]), "divided by d; it is by sqrt(d)"
        ),
        Mistake(_not_normalised, "the weights of a frame must add up to 1: divide by their sum"),
    ),
    "fold": (
        Mistake(
            lambda x: fold(x.astype(np.float64)), "summed in float64: the order AND the precision decide the last bit"
        ),
        Mistake(
            lambda x: fold(x[..., ::-1]), "the first half is added to the second, or the numbers are taken from the end"
        ),
        Mistake(_once, "halved only once: go on until one number is left"),
        Mistake(_everything, "only the last axis is summed: x[..., i]"),
    ),
}
