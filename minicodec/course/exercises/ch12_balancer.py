"""Chapter 12: the loss balancer."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function
from minicodec.training.balancer import EPSILON


def gradient_size(g):
    """g (B,T,C) -> size (), a number: the mean over the batch of each item's Euclidean norm.

    That is the square root of the sum of its squares, over all times and channels of the item.
    """
    return np.sqrt((g**2).sum(axis=(1, 2))).mean()


def _of_the_whole_batch(g):
    return np.sqrt((g**2).sum())


def _root_of_the_mean(g):
    return np.sqrt((g**2).mean(axis=(1, 2))).mean()


def _sum_over_items(g):
    return np.sqrt((g**2).sum(axis=(1, 2))).sum()


def _over_time_alone(g):
    return np.sqrt((g**2).sum(axis=1)).mean()


def gradient_rms(g):
    """g (B,T,C) -> size (), a number: the mean over the batch of each item's RMS.

    That is the square root of the mean of its squares, over all times and channels of the item. Unlike the norm, it
    does not grow with the length of the crops.
    """
    return _root_of_the_mean(g)


def _one_rms(g):
    return np.sqrt((g**2).mean())


def _gradients(rng, fresh):
    more = int(rng.integers(1, 4)) if fresh else 0
    for B, T, C in [(1, 4, 1), (3, 5, 1), (2, 3 + more, 2)]:
        yield (rng.normal(size=(B, T, C)) * np.arange(1, B + 1)[:, None, None],)
    yield (np.zeros((2, 3, 1)),)


def running_average(totals, counts, sizes, decay):
    """totals (K), counts (K), sizes (K), decay -> totals (K), counts (K), averages (K), one step later.

    totals = decay · totals + sizes, counts = decay · counts + 1, averages = totals / counts.
    All is 0 before the first step. The inputs are not changed: the results are new arrays.
    """
    totals, counts = decay * totals + sizes, decay * counts + 1
    return totals, counts, totals / counts


def _from_zero(totals, counts, sizes, decay):
    totals, counts = decay * totals + (1 - decay) * sizes, decay * counts + 1
    return totals, counts, totals


def _nothing_forgotten(totals, counts, sizes, decay):
    return totals + sizes, counts + 1, (totals + sizes) / (counts + 1)


def _counted_plainly(totals, counts, sizes, decay):
    totals = decay * totals + sizes
    return totals, counts + 1, totals / (counts + 1)


def _before_this_step(totals, counts, sizes, decay):
    new_totals, new_counts, _ = running_average(totals, counts, sizes, decay)
    return new_totals, new_counts, totals / np.maximum(counts, 1e-12)


def _histories(rng, fresh):
    yield np.zeros(2), np.zeros(2), np.array([3.0, 0.01]), 0.999  # the first step
    for K, decay in [(1, 0.9), (3, 0.999), (4 + int(fresh), 0.5)]:
        counts = rng.uniform(1, 1 / (1 - decay), size=K)
        yield counts * rng.uniform(0.1, 5, size=K), counts, rng.uniform(0.1, 5, size=K), decay


def balance(gradients, averages, weights, norm):
    """gradients (K,B,T,C), averages (K), weights (K), norm -> dx (B,T,C): the K gradients in their shares.

    Each is divided by its average size + 1e-12, and multiplied by norm · weight / (sum of weights).
    """
    factors = norm * weights / weights.sum() / (averages + EPSILON)
    return np.tensordot(factors, gradients, axes=1)


def _plain_sum(gradients, averages, weights, norm):
    return np.tensordot(norm * weights / weights.sum(), gradients, axes=1)


def _weights_as_they_are(gradients, averages, weights, norm):
    return np.tensordot(norm * weights / (averages + EPSILON), gradients, axes=1)


def _by_this_batch(gradients, averages, weights, norm):
    return balance(gradients, np.array([gradient_size(g) for g in gradients]), weights, norm)


def _multiplied(gradients, averages, weights, norm):
    return np.tensordot(norm * weights / weights.sum() * averages, gradients, axes=1)


def _to_length_one(gradients, averages, weights, norm):
    dx = balance(gradients, averages, weights, norm)
    return dx * norm / (gradient_size(dx) + EPSILON)


def _losses(rng, fresh):
    for K, B, T, C, norm in [(2, 3, 4, 1, 1.0), (1, 1, 3, 1, 1.0), (4, 2, 5 + int(fresh), 2, 2.5)]:
        g = rng.normal(size=(K, B, T, C)) * 10.0 ** rng.integers(-2, 3, size=(K, 1, 1, 1))
        yield g, rng.uniform(0.5, 4, size=K), rng.choice([0.1, 1.0, 3.0], size=K) + rng.uniform(0, 0.1, size=K), norm
    g = np.concatenate([np.zeros((1, 2, 3, 1)), rng.normal(size=(1, 2, 3, 1))])
    yield g, np.array([0.0, 1.5]), np.array([1.0, 3.0]), 1.0  # a loss that has reached 0


EXERCISES = [
    of_function(
        gradient_size, 12, _gradients,
        mistakes=(
            Mistake(_of_the_whole_batch, "that is the norm of the whole batch: take each item's, then their mean"),
            Mistake(_root_of_the_mean, "that is the root of the mean of squares; a norm sums the squares"),
            Mistake(_sum_over_items, "the items' norms were added up: their mean is wanted"),
            Mistake(_over_time_alone, "the norm of an item takes in its channels too, not only its times"),
        ),
        hint="sum the squares over axes 1 and 2, take the root, then the mean over what is left.",
    ),
    of_function(
        running_average, 12, _histories,
        mistakes=(
            Mistake(_from_zero, "this average starts at 0 and takes 1/(1 - decay) steps to forget it: divide totals "
                                "by counts"),
            Mistake(_nothing_forgotten, "nothing is forgotten: both the totals and the counts fade by `decay`"),
            Mistake(_counted_plainly, "the counts must fade like the totals, or the average sinks"),
            Mistake(_before_this_step, "these are the averages before this step; it takes part in its own"),
        ),
        hint="the counts are what the totals would be if all sizes were 1.",
    ),
    of_function(
        balance, 12, _losses, points=2,
        mistakes=(
            Mistake(_plain_sum, "the averages are not used: each gradient is to be divided by its usual size"),
            Mistake(_weights_as_they_are, "the weights are shares: divide them by their sum"),
            Mistake(_by_this_batch, "divided by the size in this batch; it is the average that counts"),
            Mistake(_multiplied, "multiplied by the averages; a gradient that is usually large must get smaller"),
            Mistake(_to_length_one, "the sum was stretched to the norm: gradients that oppose each other may cancel"),
        ),
        hint="one factor for each loss; then a weighted sum over the first axis.",
    ),
    of_function(
        gradient_rms, 12, _gradients, variant_of="gradient_size",
        mistakes=(
            Mistake(gradient_size, "that is the norm: a mean of squares divides by how many there are"),
            Mistake(_one_rms, "one RMS for the whole batch: take each item's, then their mean"),
        ),
        hint="mean of the squares over axes 1 and 2, root, mean over the batch.",
    ),
]  # fmt: skip
