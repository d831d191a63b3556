"""Chapter 13."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch13_training import adam_step, adamw_step, crops, weight_average


def _one_place(wav, seed, step, size, length):
    start = np.random.default_rng([seed, step]).integers(len(wav) - length + 1)
    return np.stack([wav[start : start + length, None]] * size)


def _channels_first(wav, seed, step, size, length):
    return crops(wav, seed, step, size, length).swapaxes(1, 2)


def _in_order(wav, seed, step, size, length):
    starts = np.sort(np.random.default_rng([seed, step]).integers(len(wav) - length + 1, size=size))
    return np.stack([wav[start : start + length, None] for start in starts])


def _adam(size):
    """An Adam whose step is made of the corrected averages by `size`."""

    def run(p, g, m, v, t, lr, beta1, beta2):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
        return p - lr * size(m / (1 - beta1**t), v / (1 - beta2**t)), m, v

    return run


def _not_squared(p, g, m, v, t, lr, beta1, beta2):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * np.abs(g)
    return p - lr * m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + 1e-8), m, v


def _counted_from_zero(p, g, m, v, t, lr, beta1, beta2):
    return adam_step(p, g, m, v, t + 1, lr, beta1, beta2)


def _decay_afterwards(p, g, m, v, t, lr, beta1, beta2, decay):
    p, m, v = adam_step(p, g, m, v, t, lr, beta1, beta2)
    return p * (1 - lr * decay), m, v


def _no_decay(p, g, m, v, t, lr, beta1, beta2, decay):
    return adam_step(p, g, m, v, t, lr, beta1, beta2)


def _decay_grows(p, g, m, v, t, lr, beta1, beta2, decay):
    return adamw_step(p, g, m, v, t, lr, beta1, beta2, -decay)


MISTAKES = {
    "crops": (
        Mistake(_one_place, "all crops are of one place: draw `size` of them"),
        Mistake(_channels_first, "x is (size,length,1): the channel is the last axis"),
        Mistake(_in_order, "the places are sorted; they come in the order in which they were drawn"),
        Mistake(lambda *a: crops(*a)[..., 0], "the last axis is missing: x has one channel"),
    ),
    "adam_step": (
        Mistake(_adam(lambda m, v: m / np.sqrt(v)), "0/0 where all gradients were 0: eps belongs to the root of v"),
        Mistake(_adam(lambda m, v: m / np.sqrt(v + 1e-8)), "eps is under the root; it is added to the root"),
        Mistake(_not_squared, "v is the average of the SQUARED gradients"),
        Mistake(_counted_from_zero, "t counts from 1: the correction of step t is 1 - beta^t"),
    ),
    "adamw_step": (
        Mistake(_decay_afterwards, "the weights shrink BEFORE Adam's step"),
        Mistake(_no_decay, "the weights do not shrink: `decay` is left out"),
        Mistake(_decay_grows, "the weights grow: the factor is 1 - lr·decay"),
    ),
    "weight_average": (
        Mistake(
            lambda h, decay: weight_average(h[:-1], decay) if len(h) > 1 else 0 * h[0], "the last step is left out"
        ),
        Mistake(lambda h, decay: h[-1].copy(), "these are the last weights; the average remembers older ones"),
        Mistake(
            lambda h, decay: weight_average(h[::-1], decay),
            "the steps are taken from the last to the first",
        ),
        Mistake(
            lambda h, decay: np.stack([weight_average(h[: n + 1], decay) for n in range(len(h))]),
            "only the average after the last step is asked for",
        ),
    ),
}
