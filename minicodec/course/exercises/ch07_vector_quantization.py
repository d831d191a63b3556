"""Chapter 7: vector quantization."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops.nearest_codeword import nearest_codeword_forward


def _no_norms(x, codebook):
    return (-2 * (x @ codebook.T)).argmin(axis=-1), ()


def _farthest(x, codebook):
    return ((codebook**2).sum(axis=1) - 2 * (x @ codebook.T)).argmax(axis=-1), ()


def _half_the_product(x, codebook):
    return ((codebook**2).sum(axis=1) - x @ codebook.T).argmin(axis=-1), ()


def _last_of_equals(x, codebook):
    distance = (codebook**2).sum(axis=1) - 2 * (x @ codebook.T)
    return distance.shape[-1] - 1 - distance[..., ::-1].argmin(axis=-1), ()


def kmeans_step(x, means):
    """x (n,D), means (N,D) -> means (N,D), counts (N): each mean moves to the middle of the vectors nearest to it.

    A mean that is nearest to none stays where it is. counts: how many vectors each mean had before it moved.
    """
    codes, _ = nearest_codeword_forward(x, means)
    counts = np.bincount(codes, minlength=len(means))
    sums = np.zeros(means.shape)
    np.add.at(sums, codes, x)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], means), counts


def _empty_to_zero(x, means):
    moved, counts = kmeans_step(x, means)
    return np.where(counts[:, None] > 0, moved, 0), counts


def _sums_kept(x, means):
    moved, counts = kmeans_step(x, means)
    return moved * np.maximum(counts, 1)[:, None], counts


def _divided_by_all(x, means):
    moved, counts = kmeans_step(x, means)
    return np.where(counts[:, None] > 0, moved * counts[:, None] / len(x), means), counts


def _one_of_each(x, means):
    codes, _ = nearest_codeword_forward(x, means)
    counts, sums = np.bincount(codes, minlength=len(means)), np.zeros(means.shape)
    sums[codes] += x  # of vectors that share a code, only the last is added
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], means), counts


def _vectors(rng, fresh):
    for n, N, D in [(6, 2, 1), (12, 3, 2), (20 + 5 * int(fresh), 4, 3)]:
        x = rng.normal(size=(n, D))
        yield x, x[:N] + 0.1
    yield rng.normal(size=(8, 2)), np.array([[0.0, 0.0], [50.0, 50.0]])  # nobody chooses the second one


def ema_update(counts, sums, x, codes, decay):
    """counts (N), sums (N,D), x (n,D), codes (n) -> counts (N), sums (N,D), codebook (N,D), after one batch.

    counts and sums are moving averages of how many vectors chose each entry, and of their sum: new = decay · old +
    (1 - decay) · this batch's. The codebook is sums / smoothed, where smoothed = (counts + e) / (total + N e) · total,
    with e = 1e-5 and total the sum of the new counts.
    """
    n = np.bincount(codes, minlength=len(counts)).astype(np.float64)
    s = np.zeros(sums.shape)
    np.add.at(s, codes, x)
    counts, sums = decay * counts + (1 - decay) * n, decay * sums + (1 - decay) * s
    total = counts.sum()
    smoothed = (counts + 1e-5) / (total + len(counts) * 1e-5) * total
    return counts, sums, sums / smoothed[:, None]


def _decay_swapped(counts, sums, x, codes, decay):
    return ema_update(counts, sums, x, codes, 1 - decay)


def _duplicates_lost(counts, sums, x, codes, decay):
    n, s = np.zeros(len(counts)), np.zeros(sums.shape)
    n[codes] += 1  # an index that occurs twice is added to only once
    s[codes] += x
    total = (decay * counts + (1 - decay) * n).sum()
    counts, sums = decay * counts + (1 - decay) * n, decay * sums + (1 - decay) * s
    return counts, sums, sums / ((counts + 1e-5) / (total + len(counts) * 1e-5) * total)[:, None]


def _means_averaged(counts, sums, x, codes, decay):
    n = np.bincount(codes, minlength=len(counts)).astype(np.float64)
    s = np.zeros(sums.shape)
    np.add.at(s, codes, x)
    s /= np.maximum(n, 1)[:, None]
    counts, sums = decay * counts + (1 - decay) * n, decay * sums + (1 - decay) * s
    total = counts.sum()
    return counts, sums, sums / ((counts + 1e-5) / (total + len(counts) * 1e-5) * total)[:, None]


def _not_smoothed(counts, sums, x, codes, decay):
    counts, sums, _ = ema_update(counts, sums, x, codes, decay)
    return counts, sums, sums / counts[:, None]


def _batches(rng, fresh):
    for n, N, D, decay in [(5, 3, 1, 0.9), (30, 4, 2, 0.99), (17 + int(fresh), 8, 3, 0.5)]:
        counts = rng.uniform(0.5, 3, size=N)
        yield counts, rng.normal(size=(N, D)), rng.normal(size=(n, D)), rng.integers(0, N, size=n), decay


def revive(counts, sums, dead, vectors):
    """counts (N), sums (N,D), dead (k) entries, vectors (k,D) -> counts (N), sums (N,D): dead entries become vectors.

    The codebook will be computed from these two (sums / counts), now and at every later update. So each dead entry
    gets the mean of all counts (before the change), and the sum that makes its codeword the given vector.
    """
    counts, sums = counts.copy(), sums.copy()
    mean = counts.mean()
    counts[dead] = mean
    sums[dead] = mean * vectors
    return counts, sums


def _sums_without_counts(counts, sums, dead, vectors):
    sums = sums.copy()
    sums[dead] = vectors
    return counts, sums


def _vectors_for_sums(counts, sums, dead, vectors):
    counts, _ = revive(counts, sums, dead, vectors)
    sums = sums.copy()
    sums[dead] = vectors
    return counts, sums


def _the_dead(rng, fresh):
    for N, D, dead in [(4, 2, [1]), (6 + int(fresh), 3, [0, 5]), (5, 1, [])]:
        yield rng.uniform(0.1, 9, size=N), rng.normal(size=(N, D)), np.array(dead, int), rng.normal(size=(len(dead), D))


EXERCISES = [
    of_op(
        "nearest_codeword", "forward", chapter=7,
        mistakes=(
            Mistake(_no_norms, "the length of the codewords is left out: |x - c|² = |x|² - 2 x·c + |c|²"),
            Mistake(_half_the_product, "the factor 2 before x·c is missing: |x - c|² = |x|² - 2 x·c + |c|²"),
            Mistake(_farthest, "that is the farthest codeword, not the nearest"),
            Mistake(_last_of_equals, "of equally near codewords the lowest index must win, on every machine"),
        ),
        hint="|x|² is the same for all codewords and can be left out; the rest is one matrix product.",
    ),
    of_function(
        kmeans_step, 7, _vectors,
        mistakes=(
            Mistake(_one_of_each, "sums[codes] += x adds only one of those that share a code; np.add.at adds all"),
            Mistake(_empty_to_zero, "a mean that nobody is nearest to moved to 0: let it stay"),
            Mistake(_sums_kept, "these are the sums of the vectors; divide by how many there are"),
            Mistake(_divided_by_all, "divided by the number of all vectors, not by each mean's own"),
        ),
        hint="np.bincount counts; np.add.at(sums, codes, x) adds every vector to its own row.",
    ),
    of_function(
        ema_update, 7, _batches, points=2,
        mistakes=(
            Mistake(_decay_swapped, "decay and 1 - decay have changed places: the old averages weigh `decay`"),
            Mistake(_duplicates_lost, "sums[codes] += x adds only one of those that share a code; np.add.at adds all"),
            Mistake(_not_smoothed, "the counts were not smoothed before dividing: the docstring says how"),
            Mistake(_means_averaged, "sums must hold sums of vectors, not means: the division comes last"),
        ),
        hint="count and sum this batch as in kmeans_step, mix both into the averages, then divide.",
    ),
    of_function(
        revive, 7, _the_dead,
        mistakes=(
            Mistake(_sums_without_counts, "the counts of the revived entries are still those of the dead"),
            Mistake(_vectors_for_sums, "sums must be vector times count, or the codeword is not the vector"),
        ),
        hint="which count and which sum give the codeword you want, after the division?",
    ),
]  # fmt: skip
