"""Chapter 18."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch18_evaluation import bootstrap_interval, find_delay, mushra_interval
from minicodec.metrics import si_sdr


def _parts(reference, estimate):
    s = reference - reference.mean(axis=-1, keepdims=True)
    e = estimate - estimate.mean(axis=-1, keepdims=True)
    return s, e, (e * s).sum(axis=-1, keepdims=True)


def _not_projected(reference, estimate):
    s, e, product = _parts(reference, estimate)
    p = product * s
    return 10 * np.log10((p * p).sum(axis=-1) / ((e - p) ** 2).sum(axis=-1))


def _unit_vectors(reference, estimate):
    s, e, _ = _parts(reference, estimate)
    s, e = (x / np.sqrt((x * x).sum(axis=-1, keepdims=True)) for x in (s, e))
    return 10 * np.log10((s * s).sum(axis=-1) / ((e - s) ** 2).sum(axis=-1))


def _natural(reference, estimate):
    return si_sdr(reference, estimate) * np.log(10)


def _position(reference, estimate, longest):
    return find_delay(reference, estimate, longest) + longest


def _largest_sample(reference, estimate, longest):
    return int(np.abs(estimate).argmax() - np.abs(reference).argmax())


def _one_less(reference, estimate, longest):
    return find_delay(reference, estimate, longest - 1)


def _draws(values, choices, quantiles):
    return tuple(float(q) for q in np.quantile(values[choices].mean(axis=1), quantiles))


def _of_shuffled(a, b, choices):
    return _draws(a - b[::-1], choices, (0.025, 0.975))


def _relative(a, b, choices):
    return bootstrap_interval((a - b) / b, choices)


def _separate_draws(a, b, choices):
    means = a[choices].mean(axis=1) - b[choices[::-1]].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _interval(change):
    def run(scores, t):
        return change(*mushra_interval(scores, t), scores, t)

    return run


MISTAKES = {
    "si_sdr": (
        Mistake(_not_projected, "p is not divided by <s,s>"),
        Mistake(_unit_vectors, "both were made equally loud; p is the part of e that is like s"),
        Mistake(_natural, "that is the natural logarithm; decibels take log10"),
    ),
    "find_delay": (
        Mistake(_position, "that is a place in the list of delays, which begins at -longest: subtract `longest`"),
        Mistake(_largest_sample, "one loud sample does not tell: compare the whole signals, by their products"),
        Mistake(lambda *a: float(find_delay(*a)), "a whole number is asked for"),
        Mistake(_one_less, "the delays go from -longest to longest, both ends included"),
    ),
    "bootstrap_interval": (
        Mistake(lambda v, c: _draws(v, c, (0.975, 0.025)), "low and high have changed places"),
        Mistake(lambda v, c: _draws(v, c, (0, 1)), "those are the lowest and the highest of the draws"),
        Mistake(
            lambda v, c: tuple(np.quantile(np.median(v[c], axis=1), (0.025, 0.975))),
            "each draw has a mean, not a median",
        ),
        Mistake(
            lambda v, c: tuple(x - v.mean() for x in bootstrap_interval(v, c)),
            "the interval lies around the mean, not around 0",
        ),
    ),
    "paired_interval": (
        Mistake(_of_shuffled, "clip i of one system is compared with clip i of the other"),
        Mistake(_relative, "the difference itself is asked for, not one in parts of b"),
        Mistake(_separate_draws, "each draw takes the same clips of both systems"),
    ),
    "mushra_interval": (
        Mistake(
            _interval(lambda mean, half, scores, t: (mean - half, mean + half)),
            "mean and half the interval are asked for, not its two ends",
        ),
        Mistake(
            _interval(lambda mean, half, scores, t: (mean, 2 * half)),
            "that is the whole interval; half of it is asked for",
        ),
        Mistake(
            _interval(lambda mean, half, scores, t: (mean, half / t)),
            "t is left out: with few listeners the error is larger",
        ),
        Mistake(
            _interval(lambda mean, half, scores, t: (mean, half / np.sqrt(len(scores)))),
            "divided by L; it is by the root of L",
        ),
    ),
}
