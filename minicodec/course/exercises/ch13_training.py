"""Chapter 13: training: data, optimiser, averaged weights."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function
from minicodec.ops.adam import adam_update


def crops(wav: np.ndarray, seed: int, step: int, size: int, length: int) -> np.ndarray:
    """wav (T) -> x (size,length,1): the batch of a step, crops that start at random places of wav.

    The places are np.random.default_rng([seed, step]).integers(n, size=size), in this order, where n is the number of
    places at which a whole crop can start.
    """
    starts = np.random.default_rng([seed, step]).integers(len(wav) - length + 1, size=size)
    return np.stack([wav[start : start + length, None] for start in starts])


def _at(wav, starts, length):
    return np.stack([wav[start : start + length, None] for start in starts])


def _every_step_the_same(wav, seed, step, size, length):
    return _at(wav, np.random.default_rng(seed).integers(len(wav) - length + 1, size=size), length)


def _last_place_forgotten(wav, seed, step, size, length):
    return _at(wav, np.random.default_rng([seed, step]).integers(max(1, len(wav) - length), size=size), length)


def _seed_plus_step(wav, seed, step, size, length):
    return _at(wav, np.random.default_rng(seed + step).integers(len(wav) - length + 1, size=size), length)


def _batches(rng, fresh):
    more = int(rng.integers(1, 9)) if fresh else 0
    for T, seed, step, size, length in [(50 + more, 4, 3, 4, 10), (20, 5, 1, 1, 7), (9, 2, 7, 6, 8), (30, 1, 2, 3, 4)]:
        yield rng.normal(size=T), seed, step, size, length


def adam_step(p, g, m, v, t, lr, beta1, beta2):
    """p (*p), g (*p), m (*p), v (*p) -> p (*p), m (*p), v (*p), after step number t = 1, 2, 3, ... of Adam.

    p: the weights; g: their gradient; m, v: the averages as they are kept, without hats, 0 before step 1.
    Return new arrays, do not change these. eps = 1e-8 is added to the root, not under it.
    """
    p, m, v = p.copy(), m.copy(), v.copy()
    scale, root = lr / (1 - beta1**t), np.sqrt(1 - beta2**t)
    adam_update(p, g, m, v, scale=scale, root=root, beta1=beta1, beta2=beta2, eps=1e-8, decay=0.0)
    return p, m, v


def _moments(g, m, v, beta1, beta2):
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g


def _no_correction(p, g, m, v, t, lr, beta1, beta2):
    m, v = _moments(g, m, v, beta1, beta2)
    return p - lr * m / (np.sqrt(v) + 1e-8), m, v


def _no_root(p, g, m, v, t, lr, beta1, beta2):
    m, v = _moments(g, m, v, beta1, beta2)
    return p - lr * m / (1 - beta1**t) / (v / (1 - beta2**t) + 1e-8), m, v


def _upwards(p, g, m, v, t, lr, beta1, beta2):
    after, m, v = adam_step(p, g, m, v, t, lr, beta1, beta2)
    return 2 * p - after, m, v


def _hats_kept(p, g, m, v, t, lr, beta1, beta2):
    p, m, v = adam_step(p, g, m, v, t, lr, beta1, beta2)
    return p, m / (1 - beta1**t), v / (1 - beta2**t)


def _betas_swapped(p, g, m, v, t, lr, beta1, beta2):
    return adam_step(p, g, m, v, t, lr, beta2, beta1)


def _adam_arguments(rng, fresh):
    more = int(rng.integers(1, 4)) if fresh else 0
    for shape, t in [((3 + more,), 1), ((2, 4), 2), ((1,), 40)]:
        p, g, m = (rng.normal(size=shape) for _ in range(3))
        m, v = (0 * m, 0 * m) if t == 1 else (m, m**2 + rng.uniform(0.1, 1, size=shape))
        yield p, g, m, v, t, 0.01, 0.6, 0.9  # 0.5 would be 1 - 0.5, too
    zeros = np.zeros(3)
    yield rng.normal(size=3), zeros, zeros, zeros, 1, 0.01, 0.5, 0.9  # no gradient yet, as of silence
    yield rng.normal(size=3), 1e-7 * rng.uniform(1, 2, size=3), zeros, zeros, 1, 0.1, 0.5, 0.9  # as small as eps


def adamw_step(p, g, m, v, t, lr, beta1, beta2, decay):
    """p (*p), g (*p), m (*p), v (*p) -> p (*p), m (*p), v (*p), after step t = 1, 2, ... of Adam with weight decay.

    The weights shrink to (1 - lr·decay) of themselves, apart from the gradients; from there, Adam's step is made.
    m and v are 0 before step 1. eps = 1e-8 is added to the root, not under it.
    """
    return adam_step(p * (1 - lr * decay), g, m, v, t, lr, beta1, beta2)


def _decay_in_the_gradient(p, g, m, v, t, lr, beta1, beta2, decay):
    return adam_step(p, g + decay * p, m, v, t, lr, beta1, beta2)


def _decay_without_lr(p, g, m, v, t, lr, beta1, beta2, decay):
    return adam_step(p * (1 - decay), g, m, v, t, lr, beta1, beta2)


def _adamw_arguments(rng, fresh):
    for arguments in _adam_arguments(rng, fresh):
        yield *arguments, 0.2


def weight_average(history: np.ndarray, decay: float) -> np.ndarray:
    """history (n,P), weights after each of n steps -> average (P): their moving average after the last one.

    It begins as history[0]; then, for each later row: average = decay · average + (1 - decay) · row.
    """
    average = history[0]
    for row in history[1:]:
        average = average + (1 - decay) * (row - average)
    return average


def _from_zero(history, decay):
    return weight_average(np.concatenate([0 * history[:1], history]), decay)


def _roles_swapped(history, decay):
    return weight_average(history, 1 - decay)


def _plain_mean(history, decay):
    return history.mean(axis=0)


def _histories(rng, fresh):
    for n, P, decay in [(4, 3, 0.9), (30 + int(fresh), 2, 0.99), (3, 1, 0.25)]:
        yield rng.normal(size=(n, P)), decay
    yield rng.normal(size=(1, 2)), 0.9  # one step


EXERCISES = [
    of_function(
        crops, 13, _batches,
        mistakes=(
            Mistake(_every_step_the_same, "the step is not in the seed: every step gets the same batch"),
            Mistake(_last_place_forgotten, "a crop can start at T - length + 1 places: 0 ... T - length"),
            Mistake(_seed_plus_step, "seed + step: step 1 of seed 0 is step 0 of seed 1; give default_rng a list"),
        ),
        hint="rng.integers(n) draws from 0 ... n - 1. Take care of the last axis of x: one channel.",
    ),
    of_function(
        adam_step, 13, _adam_arguments, points=2,
        mistakes=(
            Mistake(_no_correction, "m and v begin at 0 and are too small at first: divide by 1 - beta^t"),
            Mistake(_no_root, "the step is divided by the root of v"),
            Mistake(_upwards, "the step goes uphill: p - lr · ..."),
            Mistake(_hats_kept, "m and v are kept without the correction, which is for this step's p alone"),
            Mistake(_betas_swapped, "beta1 belongs to the gradients (m), beta2 to their squares (v)"),
        ),
        hint="first the new m and v; then p - lr · (m/(1 - beta1^t)) / (sqrt(v/(1 - beta2^t)) + eps).",
    ),
    of_function(
        adamw_step, 13, _adamw_arguments, points=2, variant_of="adam_step",
        mistakes=(
            Mistake(_decay_in_the_gradient, "do not put the decay into the gradient: shrink the weights themselves"),
            Mistake(_decay_without_lr, "the decay of a step is lr·decay"),
        ),
        hint="p · (1 - lr · decay) - lr · (m/(1 - beta1^t)) / (sqrt(v/(1 - beta2^t)) + eps).",
    ),
    of_function(
        weight_average, 13, _histories,
        mistakes=(
            Mistake(_from_zero, "the average begins as the first weights, not as 0"),
            Mistake(_roles_swapped, "decay belongs to the old average, 1 - decay to the new weights"),
            Mistake(_plain_mean, "this is the mean of all steps: old weights must be forgotten"),
        ),
        hint="one line in a loop over history[1:].",
    ),
]  # fmt: skip
