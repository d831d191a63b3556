"""Chapter 8: residual vector quantization, and a gradient that passes through a jump."""

import numpy as np

from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.course.catalogue import Mistake, of_function


def _quantizer(codebooks):
    quantizer = ResidualVectorQuantizer(1, 1, 1, rng=np.random.default_rng(0))
    quantizer.codebooks = codebooks
    return quantizer


def residual_encode(x, codebooks):
    """x (n,D), codebooks (Q,N,D) -> codes (Q,n): each level quantizes what the levels before it have left over."""
    return _quantizer(codebooks).encode(x, len(codebooks))


def _never_subtracted(x, codebooks):
    return np.stack([residual_encode(x, codebook[None])[0] for codebook in codebooks])


def _added(x, codebooks):
    codes, residual = [], x
    for codebook in codebooks:
        codes.append(residual_encode(residual, codebook[None])[0])
        residual = residual + codebook[codes[-1]]
    return np.stack(codes)


def _always_from_x(x, codebooks):
    codes, residual = [], x
    for codebook in codebooks:
        codes.append(residual_encode(residual, codebook[None])[0])
        residual = x - codebook[codes[-1]]
    return np.stack(codes)


def _codebooks(rng, fresh):
    for Q, N, n, D in [(1, 4, 3, 2), (3, 8, 10, 2), (4, 5 + int(fresh), 7, 3)]:
        yield rng.normal(size=(n, D)), rng.normal(size=(Q, N, D)) * 0.6 ** np.arange(Q)[:, None, None]


def residual_decode(codes, codebooks):
    """codes (Q,n), codebooks (at least Q, N, D) -> x (n,D): the sum of the chosen codewords; Q may be less than all."""
    return _quantizer(codebooks).decode(codes)


def _last_only(codes, codebooks):
    return codebooks[len(codes) - 1][codes[-1]]


def _mean(codes, codebooks):
    return residual_decode(codes, codebooks) / len(codes)


def _one_book(codes, codebooks):
    return sum(codebooks[0][level] for level in codes)


def _coded(rng, fresh):
    for Q, N, n, D in [(2, 4, 3, 2), (3, 8, 10, 2), (4, 5 + int(fresh), 7, 3)]:
        yield rng.integers(0, N, size=(Q, n)), rng.normal(size=(Q, N, D))
    yield rng.integers(0, 5, size=(2, 6)), rng.normal(size=(4, 5, 3))  # a lower bitrate


def quantizer_backward(dz, x, codewords):
    """dz (n,D), x (n,D), codewords (Q,n,D) -> dx (n,D): what reaches the encoder, from both of its losses.

    The decoder got z = sum of the codewords, and sends dz back; the quantizer passes it on as if z had been x. The
    commitment loss is the mean over the Q levels of mean((residual - codeword)²), the mean over all n·D entries;
    residual is what a level was given, and codewords are constants.
    """
    dx, residual = dz.copy(), x
    for codeword in codewords:
        residual = residual - codeword
        dx += 2 * residual / (len(codewords) * x.size)
    return dx


def _once_per_level(dz, x, codewords):
    return quantizer_backward(len(codewords) * dz, x, codewords)


def _first_level_only(dz, x, codewords):
    return dz + 2 * (x - codewords[0]) / (len(codewords) * x.size)


def _no_mean(dz, x, codewords):
    return dz + (quantizer_backward(dz, x, codewords) - dz) * x.size


def _summed_over_levels(dz, x, codewords):
    return dz + (quantizer_backward(dz, x, codewords) - dz) * len(codewords)


def _no_slope(dz, x, codewords):
    return dz + (quantizer_backward(dz, x, codewords) - dz) / 2


def _pushed_away(dz, x, codewords):
    return 2 * dz - quantizer_backward(dz, x, codewords)


def _nothing_passes(dz, x, codewords):
    return quantizer_backward(np.zeros_like(dz), x, codewords)


def _gradients(rng, fresh):
    for Q, n, D in [(1, 2, 2), (3, 5, 2), (4, 3, 4 + int(fresh))]:
        yield rng.normal(size=(n, D)), rng.normal(size=(n, D)), rng.normal(size=(Q, n, D)) * 0.5


def level_bits(codes, N):
    """codes (Q,n), N -> bits (Q): the entropy of each level's codes, -sum p log2 p over the entries that occur."""
    bits = []
    for level in codes:
        p = np.bincount(level, minlength=N) / len(level)
        p = p[p > 0]
        bits.append(-(p * np.log2(p)).sum())
    return np.array(bits)


def _natural(codes, N):
    return level_bits(codes, N) * np.log(2)


def _of_all_levels(codes, N):
    return np.full(len(codes), level_bits(codes.reshape(1, -1), N)[0])


def _code_streams(rng, fresh):
    for Q, n, N in [(1, 10, 4), (3, 50 + int(fresh), 8)]:
        yield rng.integers(0, N, size=(Q, n)) ** 2 % N, N
    yield np.zeros((2, 5), int) + np.array([[0], [3]]), 4
    yield np.array([[1]]), 2


EXERCISES = [
    of_function(
        residual_encode, 8, _codebooks,
        mistakes=(
            Mistake(_never_subtracted, "every level quantized x itself: take off the codeword before the next level"),
            Mistake(_added, "the codeword was added; the residual is what is left when it is taken off"),
            Mistake(_always_from_x, "the residual must shrink level by level: subtract from the residual, not from x"),
        ),
        hint="chapter 7's nearest codeword, then residual = residual - codebook[codes], and on to the next level.",
    ),
    of_function(
        residual_decode, 8, _coded,
        mistakes=(
            Mistake(_last_only, "only the last level was decoded: the levels add up"),
            Mistake(_mean, "the levels are added, not averaged"),
            Mistake(_one_book, "every level has a codebook of its own"),
        ),
        hint="there may be fewer codes than codebooks: that is a lower bitrate.",
    ),
    of_function(
        quantizer_backward, 8, _gradients, points=2,
        mistakes=(
            Mistake(_once_per_level, "dz arrived once for each level: it must pass once, around all of them"),
            Mistake(_first_level_only, "only the first level's commitment came through; all residuals contain x"),
            Mistake(_no_mean, "the commitment loss is a mean over all entries: divide by n·D"),
            Mistake(_summed_over_levels, "the levels' commitments are averaged, not summed: divide by Q"),
            Mistake(_no_slope, "the commitment part is 2 times too small: a square has slope 2"),
            Mistake(_pushed_away, "the commitment part has the wrong sign: it pulls x towards its codewords"),
            Mistake(_nothing_passes, "dz was lost: it passes straight through"),
        ),
        hint="d(residual)/dx = 1 at every level; a square has slope 2; two means: divide by n·D and by Q.",
    ),
    of_function(
        level_bits, 8, _code_streams, variant_of="residual_decode",
        mistakes=(
            Mistake(_natural, "these are nats: bits take the logarithm to base 2"),
            Mistake(_of_all_levels, "each level has statistics of its own"),
        ),
        hint="np.bincount counts; entries that do not occur contribute nothing.",
    ),
]  # fmt: skip
