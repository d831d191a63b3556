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


def _distances(r, book):
    return ((r[:, None] - book) ** 2).sum(axis=2)


def _nearest(r, book):
    return _distances(r, book).argmin(axis=1)


def _level_by_level(choose, left=lambda r, q, code, books: r - books[q][code]):
    """residual_encode, with another choice, or with something else left over."""

    def run(x, codebooks):
        codes, r = [], x
        for q, book in enumerate(codebooks):
            codes.append(choose(r, book))
            r = left(r, q, codes[-1], codebooks)
        return np.stack(codes)

    return run


def _sum(codes, codebooks):
    return sum(codebooks[q][level] for q, level in enumerate(codes))


def _commitment(slope):
    """quantizer_backward, with another slope of each level's loss: slope(residual, codeword), of half a square."""

    def run(dz, x, codewords):
        dx, r = dz.copy(), x
        for q in codewords:
            dx += 2 * slope(r, q) / (len(codewords) * x.size)
            r = r - q
        return dx

    return run


def _loss_added(dz, x, codewords):
    return dz + np.mean([np.mean((x - codewords[: q + 1].sum(axis=0)) ** 2) for q in range(len(codewords))])


def _more_for_later_levels(dz, x, codewords):
    return dz + sum(
        2 * (q + 1) * (x - codewords[: q + 1].sum(axis=0)) / (len(codewords) * x.size) for q in range(len(codewords))
    )


def _with_zeros(codes, N):
    p = np.stack([np.bincount(level, minlength=N) / len(level) for level in codes])
    return -(p * np.log2(p)).sum(axis=1)


MISTAKES = {
    "residual_encode": (
        Mistake(_books_backwards, "the levels begin with the last codebook; the first one is for x itself"),
        Mistake(_one_book, "every level has a codebook of its own: codebooks[q]"),
        Mistake(lambda x, codebooks: residual_encode(x, codebooks).T.copy(), "codes are (Q,n): a row for each level"),
        Mistake(lambda x, codebooks: residual_encode(x, codebooks).astype(float), "codes are whole numbers (indices)"),
        Mistake(
            lambda x, codebooks: residual_encode(x, codebooks[:1]),
            "only the first level came back: a return in the loop?",
        ),
        Mistake(
            lambda x, codebooks: np.concatenate(residual_encode(x, codebooks)),
            "the levels follow one another in one long row: np.stack puts them below each other",
        ),
        Mistake(
            _level_by_level(_nearest, lambda r, q, code, books: r - code[:, None]),
            "the codes themselves were taken off: take off the codewords, codebook[codes]",
        ),
        Mistake(
            _level_by_level(_nearest, lambda r, q, code, books: r - books[0][code]),
            "what is taken off comes from the first codebook, not from this level's",
        ),
        Mistake(
            _level_by_level(lambda r, book: (r @ book.T).argmax(axis=1)),
            "the largest product is not the nearest: long codewords win. See chapter 7",
        ),
        Mistake(
            _level_by_level(lambda r, book: _distances(r, book).argmax(axis=1)),
            "these are the farthest codewords: argmin, not argmax",
        ),
        Mistake(
            _level_by_level(lambda r, book: np.abs(r[:, None] - book).sum(axis=2).argmin(axis=1)),
            "distances are sums of squares, not of magnitudes",
        ),
    ),
    "residual_decode": (
        Mistake(_all_levels, "there may be fewer rows of codes than codebooks: go through the codes"),
        Mistake(_books_from_behind, "row q of the codes belongs to codebook q, counted from the first"),
        Mistake(_side_by_side, "the levels' codewords stand side by side; add them up"),
        Mistake(lambda codes, codebooks: _sum(codes[:-1], codebooks), "the last level is missing"),
        Mistake(
            lambda codes, codebooks: _sum(codes - 1, codebooks), "the codes count from 0: codebook[code], not code - 1"
        ),
        Mistake(
            lambda codes, codebooks: 2 * _sum(codes[:1], codebooks) - _sum(codes, codebooks),
            "the later levels were taken off; the encoder did that, the decoder adds them",
        ),
        Mistake(
            lambda codes, codebooks: _sum(codes, codebooks).sum(axis=1),
            "it was summed over the D numbers of a codeword; sum over the levels only",
        ),
        Mistake(
            lambda codes, codebooks: codebooks[:, codes].sum(axis=0),
            "codebooks[:, codes] takes every code from every codebook; level q has codebooks[q]",
        ),
    ),
    "quantizer_backward": (
        Mistake(lambda dz, x, codewords: dz.copy(), "the commitment loss is missing: it pulls x to its codewords"),
        Mistake(_codewords_not_constant, "the mean is over all n·D entries, not over the n vectors"),
        Mistake(_from_x_each_time, "each level's residual is what the levels before it left, not x"),
        Mistake(_last_level_only, "only the last level's commitment came through; every level has one"),
        Mistake(
            _commitment(lambda r, q: r),
            "the residual before its codeword is taken off: the slope is 2 (residual - codeword)",
        ),
        Mistake(_commitment(lambda r, q: r - 2 * q), "the codeword is taken off twice"),
        Mistake(
            _commitment(lambda r, q: np.sign(r - q) / 2),
            "that is the slope of a magnitude; a square's is 2 (residual - codeword)",
        ),
        Mistake(_loss_added, "the loss itself was added; its gradient with respect to x is asked for"),
        Mistake(
            _more_for_later_levels, "each residual contains x once, with slope 1: level i counts once, not i times"
        ),
        Mistake(
            lambda dz, x, codewords: dz + (quantizer_backward(dz, x, codewords) - dz) / len(codewords),
            "codewords.size is Q·n·D already: the number of levels was divided by twice",
        ),
    ),
    "level_bits": (
        Mistake(_with_zeros, "0·log 0 is no number: leave out the entries that do not occur"),
        Mistake(lambda codes, N: -level_bits(codes, N), "the sign is wrong: log p is negative, entropy is not"),
        Mistake(
            lambda codes, N: np.full(len(codes), np.log2(N)), "that is the most it can be; count how often each occurs"
        ),
    ),
}
