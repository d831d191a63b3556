"""Chapter 18: measures of a codec, and how far to trust their means."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function
from minicodec.metrics import si_sdr


def _si_sdr_task(reference, estimate):
    """reference (*b,T), estimate (*b,T) -> dB (*b): the scale-invariant signal-to-distortion ratio.

    Take the mean over time off both, s and e. p = (<e,s> / <s,s>) s is the part of e that is like s, and the ratio is
    10 log10 (<p,p> / <e - p, e - p>). Each signal of a batch has its own.
    """


def _mean_kept(reference, estimate):
    energy = (reference * reference).sum(axis=-1, keepdims=True)
    p = (estimate * reference).sum(axis=-1, keepdims=True) / energy * reference
    return 10 * np.log10((p * p).sum(axis=-1) / ((estimate - p) ** 2).sum(axis=-1))


def _not_scaled(reference, estimate):
    s = reference - reference.mean(axis=-1, keepdims=True)
    e = estimate - estimate.mean(axis=-1, keepdims=True)
    return 10 * np.log10((s * s).sum(axis=-1) / ((e - s) ** 2).sum(axis=-1))


def _twenty(reference, estimate):
    return 2 * si_sdr(reference, estimate)


def _all_in_one(reference, estimate):
    whole = si_sdr(reference.reshape(1, -1), estimate.reshape(1, -1))
    return np.broadcast_to(whole[0], reference.shape[:-1]).copy()


def _one_mean(reference, estimate):
    s, e = reference - reference.mean(), estimate - estimate.mean()
    return _mean_kept(s, e)


def _upside_down(reference, estimate):
    return -si_sdr(reference, estimate)


def _pairs(rng, fresh):
    for shape in [(40 + int(fresh),), (1, 7), (3, 50 + int(fresh))]:
        s = rng.normal(size=shape) + 1
        yield s, -0.5 * s + 0.3 * rng.normal(size=shape) + 2


def find_delay(reference, estimate, longest):
    """reference (T), estimate (T) -> delay (), a whole number: estimate[t + delay] is most like reference[t].

    The mean is taken off both. Like is where |Σ_t estimate[t + delay] reference[t]| is largest, over those t for which
    both exist; only delays from -longest to longest count. Negative: the estimate comes early.
    """
    s, e = reference - reference.mean(), estimate - estimate.mean()
    T = len(s)
    lags = range(-longest, longest + 1)
    products = [abs(np.dot(e[max(0, lag) : T + min(0, lag)], s[max(0, -lag) : T - max(0, lag)])) for lag in lags]
    return int(lags[int(np.argmax(products))])


def _other_way(reference, estimate, longest):
    return -find_delay(reference, estimate, longest)


def _polarity_matters(reference, estimate, longest):
    s, e = reference - reference.mean(), estimate - estimate.mean()
    T = len(s)
    products = [
        np.dot(e[max(0, lag) : T + min(0, lag)], s[max(0, -lag) : T - max(0, lag)])
        for lag in range(-longest, longest + 1)
    ]
    return int(np.argmax(products)) - longest


def _any_delay(reference, estimate, longest):
    return find_delay(reference, estimate, len(reference) - 1)


def _only_late(reference, estimate, longest):
    s, e = reference - reference.mean(), estimate - estimate.mean()
    return int(np.argmax([abs(np.dot(e[lag:], s[: len(s) - lag])) for lag in range(longest + 1)]))


def _late_and_early(rng, fresh):
    T = 200 + int(fresh)
    s = rng.normal(size=T)
    shifted = {by: np.roll(s, by) + 0.3 * rng.normal(size=T) + 0.5 for by in (-4, 0, 7)}
    yield s, shifted[-4], 20
    yield s, shifted[7], 20
    yield s, shifted[0], 5
    yield s, shifted[7], 7
    yield s, shifted[-4], 4
    yield s, 1 - shifted[7], 20
    yield s, 0.5 * np.roll(s, 3) + np.roll(s, 60), 30


def bootstrap_interval(values, choices):
    """values (n), choices (D,n) indices -> low (), high (): the 95 % interval of the mean, by the bootstrap.

    Each row of choices is one draw of n clips, with replacement. Take the mean of every draw; low and high are the
    2.5 % and the 97.5 % quantile of these D means (np.quantile).
    """
    low, high = np.quantile(values[choices].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _quantiles_of_values(values, choices):
    return tuple(np.quantile(values, (0.025, 0.975)))


def _ninety(values, choices):
    return tuple(np.quantile(values[choices].mean(axis=1), (0.05, 0.95)))


def _wrong_axis(values, choices):
    return tuple(np.quantile(values[choices].mean(axis=0), (0.025, 0.975)))


def _normal(values, choices):
    means = values[choices].mean(axis=1)
    return means.mean() - 1.96 * means.std(), means.mean() + 1.96 * means.std()


def _figures(rng, fresh):
    for n, D in [(6, 200), (3, 50), (11 + int(fresh), 400)]:
        yield rng.normal(size=n) * 3 + 10, rng.integers(0, n, size=(D, n))


def paired_interval(a, b, choices):
    """a (n), b (n), choices (D,n) indices -> low (), high (): the 95 % interval of the mean of a - b, by the bootstrap.

    a and b are two systems' figures on the same n clips. Each row of choices is one draw of n clips, with replacement,
    the same for both systems. low and high: the 2.5 % and the 97.5 % quantile of the D mean differences (np.quantile).
    """
    return bootstrap_interval(a - b, choices)


def _intervals_subtracted(a, b, choices):
    (low_a, high_a), (low_b, high_b) = bootstrap_interval(a, choices), bootstrap_interval(b, choices)
    return low_a - low_b, high_a - high_b


def _the_other_minus(a, b, choices):
    return paired_interval(b, a, choices)


def _two_systems(rng, fresh):
    for (a, choices), _ in zip(_figures(rng, fresh), range(3), strict=True):
        yield a, a - 1 + rng.normal(size=len(a)), choices


def mushra_interval(scores, t):
    """scores (L,C) of L listeners for C clips -> mean (), half (): mean score, and half its 95 % interval.

    One listener's ratings are not independent: first each listener's mean over the clips, then the mean of these L.
    half is t·s/√L, s² = Σ (difference from the mean)² / (L - 1). t, the 97.5 % point of Student's t with L - 1 degrees
    of freedom, is given.
    """
    means = scores.mean(axis=1)
    return float(means.mean()), float(t * means.std(ddof=1) / np.sqrt(len(means)))


def _all_independent(scores, t):
    return float(scores.mean()), float(t * scores.std(ddof=1) / np.sqrt(scores.size))


def _spread_of_ratings(scores, t):
    return float(scores.mean()), float(t * scores.std(ddof=1) / np.sqrt(len(scores)))


def _by_n(scores, t):
    means = scores.mean(axis=1)
    return float(means.mean()), float(t * means.std() / np.sqrt(len(means)))


def _spread_not_error(scores, t):
    means = scores.mean(axis=1)
    return float(means.mean()), float(t * means.std(ddof=1))


def _over_clips(scores, t):
    return mushra_interval(scores.T, t)


def _tests(rng, fresh):
    for L, C, t in [(4, 6, 3.18), (2, 5, 12.7), (9 + int(fresh), 3, 2.3)]:
        yield 60 + 10 * rng.normal(size=(L, 1)) + 5 * rng.normal(size=(L, C)), t


EXERCISES = [
    of_function(
        si_sdr, 18, _pairs, task=_si_sdr_task,
        mistakes=(
            Mistake(_mean_kept, "the means are still in: a constant is no sound, but counts as signal here"),
            Mistake(_one_mean, "one mean for the whole batch: each signal has its own, over the last axis"),
            Mistake(_not_scaled, "the reference is not scaled: half as loud counts as distortion"),
            Mistake(_twenty, "20 log10 is for amplitudes; these are powers, 10 log10"),
            Mistake(_all_in_one, "one ratio for the whole batch: sum over the last axis only"),
            Mistake(_upside_down, "upside down: the signal stands above, the distortion below"),
        ),
        hint="keepdims=True makes the sums fit to the signals; p has the shape of s.",
    ),
    of_function(
        find_delay, 18, _late_and_early,
        mistakes=(
            Mistake(_other_way, "the sign: a late estimate has a positive delay"),
            Mistake(_polarity_matters, "with flipped polarity the products are negative: look at their magnitude"),
            Mistake(_any_delay, "delays beyond `longest` do not count"),
            Mistake(_only_late, "an estimate can also come early: try negative delays, too"),
        ),
        hint="one number for each delay from -longest to longest; np.argmax says which is largest, not at which delay.",
    ),
    of_function(
        bootstrap_interval, 18, _figures,
        mistakes=(
            Mistake(_quantiles_of_values, "these are the clips' quantiles: how clips differ, not how sure the mean is"),
            Mistake(_normal, "1.96 standard deviations assume a bell curve; take the quantiles of the draws"),
            Mistake(_ninety, "5 % on either side leave 90 %"),
            Mistake(_wrong_axis, "the means run over the wrong axis: each row of choices is one draw"),
        ),
        hint="values[choices] has a row for each draw. Return two numbers: np.quantile gives both, in one array.",
    ),
    of_function(
        paired_interval, 18, _two_systems, variant_of="bootstrap_interval",
        mistakes=(
            Mistake(_intervals_subtracted, "the difference of two intervals is not the interval of the difference"),
            Mistake(_the_other_minus, "the difference is a - b"),
        ),
        hint="subtract before you draw: each clip gives one difference.",
    ),
    of_function(
        mushra_interval, 18, _tests,
        mistakes=(
            Mistake(_all_independent, "all ratings count as independent here; those of one listener are not"),
            Mistake(_spread_of_ratings, "s is the spread of the listeners' means, not of all ratings"),
            Mistake(_by_n, "s² divides by L - 1, not by L (np.std's ddof)"),
            Mistake(_spread_not_error, "that is how listeners differ; their mean is surer by √L"),
            Mistake(_over_clips, "the wrong axis: average over clips first, then over listeners"),
        ),
        hint="scores.mean(axis=1) are the listeners' means; all else is about these L numbers.",
    ),
]  # fmt: skip
