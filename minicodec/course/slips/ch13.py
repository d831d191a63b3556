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


def _seed_and_step_exchanged(wav, seed, step, size, length):
    return crops(wav, step, seed, size, length)


def _beyond_the_end(wav, seed, step, size, length):
    starts = np.random.default_rng([seed, step]).integers(len(wav), size=size)
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


def _averages(change):
    """An Adam whose averages and corrections are made by change(g, m, v, t, beta1, beta2) -> m, v, m̂, v̂."""

    def run(p, g, m, v, t, lr, beta1, beta2):
        m, v, m_hat, v_hat = change(g, m, v, t, beta1, beta2)
        return p - lr * m_hat / (np.sqrt(v_hat) + 1e-8), m, v

    return run


def _new(g, m, v, beta1, beta2):
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g


def _shares_exchanged(g, m, v, t, b, c):
    m, v = (1 - b) * m + b * g, (1 - c) * v + c * g * g
    return m, v, m / (1 - b**t), v / (1 - c**t)


def _m_exchanged(g, m, v, t, b, c):
    m, v = (1 - b) * m + b * g, _new(g, m, v, b, c)[1]
    return m, v, m / (1 - b**t), v / (1 - c**t)


def _one_beta_for_both(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)[0], c * v + (1 - b) * g * g
    return m, v, m / (1 - b**t), v / (1 - c**t)


def _m_as_it_is(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)
    return m, v, m, v / (1 - c**t)


def _v_as_it_is(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)
    return m, v, m / (1 - b**t), v


def _times_t(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)
    return m, v, m / (1 - b * t), v / (1 - c * t)


def _m_times_t(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)
    return m, v, m / (1 - b * t), v / (1 - c**t)


def _power_of_the_difference(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)
    return m, v, m / (1 - b) ** t, v / (1 - c) ** t


def _one_step_less(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)
    return m, v, m / np.float64(1 - b ** (t - 1)), v / np.float64(1 - c ** (t - 1))


def _not_squared_at_all(g, m, v, t, b, c):
    m, v = _new(g, m, v, b, c)[0], c * v + (1 - c) * g
    return m, v, m / (1 - b**t), v / (1 - c**t)


def _decay_afterwards(p, g, m, v, t, lr, beta1, beta2, decay):
    p, m, v = adam_step(p, g, m, v, t, lr, beta1, beta2)
    return p * (1 - lr * decay), m, v


def _no_decay(p, g, m, v, t, lr, beta1, beta2, decay):
    return adam_step(p, g, m, v, t, lr, beta1, beta2)


def _decay_grows(p, g, m, v, t, lr, beta1, beta2, decay):
    return adamw_step(p, g, m, v, t, lr, beta1, beta2, -decay)


def _started_at_zero(history, decay):
    average = 0 * history[0]
    for row in history[1:]:
        average = decay * average + (1 - decay) * row
    return average


MISTAKES = {
    "crops": (
        Mistake(_one_place, "all crops are of one place: draw `size` of them"),
        Mistake(_channels_first, "x is (size,length,1): the channel is the last axis"),
        Mistake(_seed_and_step_exchanged, "the seed comes first: [seed, step]"),
        Mistake(_beyond_the_end, "some crops run over the end: one can start at T - length + 1 places"),
        Mistake(_in_order, "the places are sorted; they come in the order in which they were drawn"),
        Mistake(lambda *a: crops(*a)[..., 0], "the last axis is missing: x has one channel"),
    ),
    "adam_step": (
        Mistake(_adam(lambda m, v: m / np.sqrt(v)), "0/0 where all gradients were 0: eps belongs to the root of v"),
        Mistake(_adam(lambda m, v: m / np.sqrt(v + 1e-8)), "eps is under the root; it is added to the root"),
        Mistake(_not_squared, "v is the average of the SQUARED gradients"),
        Mistake(_averages(_shares_exchanged), "beta belongs to the old average, 1 - beta to what is new"),
        Mistake(_averages(_m_exchanged), "beta1 belongs to the old average m, 1 - beta1 to the new gradient"),
        Mistake(_averages(_one_beta_for_both), "what is new in v has the share 1 - beta2"),
        Mistake(_averages(_m_as_it_is), "m is too small at first, too: divide it by 1 - beta1^t"),
        Mistake(_averages(_v_as_it_is), "v is too small at first, too: divide it by 1 - beta2^t"),
        Mistake(_averages(_times_t), "beta^t is a power, beta**t, not a product"),
        Mistake(_averages(_m_times_t), "beta1^t is a power, beta1**t, not a product"),
        Mistake(_averages(_power_of_the_difference), "the power belongs to beta: 1 - beta**t"),
        Mistake(_averages(_one_step_less), "t counts from 1: in step 1 divide by 1 - beta, and not by 0"),
        Mistake(_averages(_not_squared_at_all), "v is the average of the squares: g * g"),
        Mistake(_counted_from_zero, "t counts from 1: the correction of step t is 1 - beta^t"),
    ),
    "adamw_step": (
        Mistake(_decay_afterwards, "the weights shrink BEFORE Adam's step"),
        Mistake(_no_decay, "the weights do not shrink: `decay` is left out"),
        Mistake(_decay_grows, "the weights grow: the factor is 1 - lr·decay"),
    ),
    "weight_average": (
        Mistake(_started_at_zero, "the average begins as history[0], not as 0"),
        Mistake(
            lambda h, decay: weight_average(np.concatenate([h.mean(axis=0)[None], h[1:]]), decay),
            "the average begins as history[0]: when it begins, the later rows are not known",
        ),
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
