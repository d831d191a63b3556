"""Chapter 12."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch12_balancer import balance, gradient_rms, running_average


def _changed(totals=lambda new, old: new, counts=lambda new, old: new, averages=lambda t, c: t / c):
    def run(old_totals, old_counts, sizes, decay):
        new_totals, new_counts, _ = running_average(old_totals, old_counts, sizes, decay)
        new_totals, new_counts = totals(new_totals, old_totals), counts(new_counts, old_counts)
        return new_totals, new_counts, averages(new_totals, new_counts)

    return run


def _other_decay(totals, counts, sizes, decay):
    return running_average(totals, counts, sizes, 1 - decay)


def _no_epsilon(gradients, averages, weights, norm):
    return np.tensordot(norm * weights / weights.sum() / averages, gradients, axes=1)


MISTAKES = {
    "gradient_size": (
        Mistake(lambda g: (g**2).sum(axis=(1, 2)).mean(), "the root is missing: these are squared norms"),
        Mistake(
            lambda g: np.abs(g).sum(axis=(1, 2)).mean(), "that is a sum of magnitudes; the norm is a root of squares"
        ),
        Mistake(lambda g: np.sqrt((g**2).sum(axis=(1, 2)).mean()), "the root comes before the mean over the batch"),
        Mistake(lambda g: np.sqrt((g**2).sum(axis=(1, 2))), "one number: the mean over the items' norms"),
    ),
    "gradient_rms": (
        Mistake(lambda g: (g**2).mean(axis=(1, 2)).mean(), "the root is missing: these are mean squares"),
        Mistake(
            lambda g: np.abs(g).mean(axis=(1, 2)).mean(), "that is a mean of magnitudes, not a root of mean squares"
        ),
        Mistake(lambda g: gradient_rms(g) * np.sqrt(g.shape[2]), "the mean of an item is over its channels, too"),
    ),
    "running_average": (
        Mistake(_changed(averages=lambda t, c: t), "the averages are the totals divided by the counts"),
        Mistake(_other_decay, "decay and 1 - decay have changed places: the old totals weigh `decay`"),
        Mistake(_changed(counts=lambda new, old: old), "the counts have not grown: this step counts 1"),
        Mistake(_changed(totals=lambda new, old: old), "the totals do not have this step's sizes in them"),
    ),
    "balance": (
        Mistake(_no_epsilon, "0/0 for a loss that has reached 0: add 1e-12 to the averages"),
        Mistake(lambda g, a, w, norm: balance(g, a, w, 1.0), "`norm` is left out: it is the length that the sum gets"),
        Mistake(
            lambda g, a, w, norm: balance(g, a, np.ones(len(w)), norm),
            "the weights are left out: not all losses count alike",
        ),
        Mistake(
            lambda g, a, w, norm: balance(g, a, w, norm) / len(g), "a weighted sum, not a mean: the weights are shares"
        ),
    ),
}
