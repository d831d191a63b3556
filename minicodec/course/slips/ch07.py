"""Chapter 7."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch07_vector_quantization import ema_update, kmeans_step, revive
from minicodec.ops.nearest_codeword import nearest_codeword_forward


def _distances(x, codebook, power):
    return (np.abs(x[..., None, :] - codebook) ** power).sum(axis=-1)


def _not_a_number(x, means):
    moved, counts = kmeans_step(x, means)
    return np.where(counts[:, None] > 0, moved, np.nan), counts


def _counted_afterwards(x, means):
    moved, _ = kmeans_step(x, means)
    return moved, kmeans_step(x, moved)[1]


def _only_the_used(x, means):
    codes, _ = nearest_codeword_forward(x, means)
    return kmeans_step(x, means)[0], np.bincount(codes)


def _towards(x, means):
    moved, counts = kmeans_step(x, means)
    return (moved + means) / 2, counts


def _codebook(counts, sums):
    total = counts.sum()
    return sums / ((counts + 1e-5) / (total + len(counts) * 1e-5) * total)[:, None]


def _this_batch_alone(counts, sums, x, codes, decay):
    new_counts, new_sums, _ = ema_update(counts, sums, x, codes, decay)
    return new_counts, new_sums, _codebook(counts, sums)


def _not_weighted(counts, sums, x, codes, decay):
    one = ema_update(counts, sums, x, codes, decay)
    new_counts, new_sums = (one[0] - decay * counts) / (1 - decay), (one[1] - decay * sums) / (1 - decay)
    counts, sums = decay * counts + new_counts, decay * sums + new_sums
    return counts, sums, _codebook(counts, sums)


def _not_scaled_back(counts, sums, x, codes, decay):
    counts, sums, _ = ema_update(counts, sums, x, codes, decay)
    return counts, sums, sums / ((counts + 1e-5) / (counts.sum() + len(counts) * 1e-5))[:, None]


def _mean_afterwards(counts, sums, dead, vectors):
    counts, sums = counts.copy(), sums.copy()
    counts[dead] = 0
    counts[dead] = counts.mean()
    sums[dead] = counts[dead][:, None] * vectors
    return counts, sums


def _count_of_one(counts, sums, dead, vectors):
    counts, sums = counts.copy(), sums.copy()
    counts[dead] = 1
    sums[dead] = vectors
    return counts, sums


def _added_to_old(counts, sums, dead, vectors):
    counts, new = revive(counts, sums, dead, vectors)
    new[dead] += sums[dead]
    return counts, new


MISTAKES = {
    "nearest_codeword_forward": (
        Mistake(
            lambda x, codebook: _distances(x, codebook, 1).argmin(axis=-1),
            "that is the sum of magnitudes; the distance is a sum of squares",
        ),
        Mistake(
            lambda x, codebook: nearest_codeword_forward(x, codebook)[0].astype(float),
            "the codes are floats; they must be whole numbers, to be used as indices",
        ),
        Mistake(
            lambda x, codebook: codebook[nearest_codeword_forward(x, codebook)[0]],
            "these are the codewords; their indices are asked for",
        ),
        Mistake(lambda x, codebook: _distances(x, codebook, 2).min(axis=-1), "min gives the distance; argmin which"),
    ),
    "kmeans_step": (
        Mistake(_not_a_number, "0/0: a mean that nobody is nearest to has no sum to divide; let it stay"),
        Mistake(_counted_afterwards, "counts are of the means BEFORE they moved"),
        Mistake(_only_the_used, "counts end at the last mean that was chosen: np.bincount has minlength"),
        Mistake(_towards, "the means moved half of the way; they go all of it"),
    ),
    "ema_update": (
        Mistake(
            _this_batch_alone, "the codebook is made of the NEW averages: first counts and sums, then the division"
        ),
        Mistake(_not_weighted, "this batch weighs 1 - decay, not 1"),
        Mistake(_not_scaled_back, "the smoothed counts must add up to total: times total"),
    ),
    "revive": (
        Mistake(_mean_afterwards, "the mean of the counts is taken before any of them is changed"),
        Mistake(_count_of_one, "a count of 1 fades at once, or for long not at all: give it the mean of all counts"),
        Mistake(_added_to_old, "the sums of dead entries are replaced, not added to"),
    ),
}
