"""Chapter 8."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch08_residual_vq import level_bits, quantizer_backward, residual_encode


def _books_backwards(x, codebooks):
    return residual_encode(x, codebooks[::-1])[::-1].copy()


def _one_book(x, codebooks):
    return residual_encode(x, np.broadcast_to(codebooks[:1], codebooks.shape))


def _all_levels(codes, codebooks):
    return np.sum([codebooks[q][codes[q]] for q in range(len(codebooks))], axis=0)


def _books_from_behind(codes, codebooks):
    return np.sum([codebooks[-1 - q][level] for q, level in enumerate(codes)], axis=0)


def _side_by_side(codes, codebooks):
    return np.stack([codebooks[q][level] for q, level in enumerate(codes)])


def _codewords_not_constant(dz, x, codewords):
    return dz + (quantizer_backward(dz, x, codewords) - dz) * x.size / len(x)


def _from_x_each_time(dz, x, codewords):
    return dz + sum(2 * (x - c) / (len(codewords) * x.size) for c in codewords)


def _last_level_only(dz, x, codewords):
    return dz + 2 * (x - codewords.sum(axis=0)) / (len(codewords) * x.size)


def _with_zeros(codes, N):
    p = np.stack([np.bincount(level, minlength=N) / len(level) for level in codes])
    return -(p * np.log2(p)).sum(axis=1)


MISTAKES = {
    "residual_encode": (
        Mistake(_books_backwards, "the levels begin with the last codebook; the first one is for x itself"),
        Mistake(_one_book, "every level has a codebook of its own: codebooks[q]"),
        Mistake(lambda x, codebooks: residual_encode(x, codebooks).T.copy(), "codes are (Q,n): a row for each level"),
        Mistake(lambda x, codebooks: residual_encode(x, codebooks).astype(float), "codes are whole numbers (indices)"),
    ),
    "residual_decode": (
        Mistake(_all_levels, "there may be fewer rows of codes than codebooks: go through the codes"),
        Mistake(_books_from_behind, "row q of the codes belongs to codebook q, counted from the first"),
        Mistake(_side_by_side, "the levels' codewords stand side by side; add them up"),
    ),
    "quantizer_backward": (
        Mistake(lambda dz, x, codewords: dz.copy(), "the commitment loss is missing: it pulls x to its codewords"),
        Mistake(_codewords_not_constant, "the mean is over all n·D entries, not over the n vectors"),
        Mistake(_from_x_each_time, "each level's residual is what the levels before it left, not x"),
        Mistake(_last_level_only, "only the last level's commitment came through; every level has one"),
    ),
    "level_bits": (
        Mistake(_with_zeros, "0·log 0 is no number: leave out the entries that do not occur"),
        Mistake(lambda codes, N: -level_bits(codes, N), "the sign is wrong: log p is negative, entropy is not"),
        Mistake(
            lambda codes, N: np.full(len(codes), np.log2(N)), "that is the most it can be; count how often each occurs"
        ),
    ),
}
