"""The nearest codeword: one step of a vector quantizer.

    code(x) = argmin_n ‖x - c_n‖²,        ‖x - c_n‖² = ‖x‖² - 2 x·c_n + ‖c_n‖²

The first term is the same for every n and cannot change the argmin, so it is left out; the second is one matrix
product, (rows,D) times (D,N). Ties go to the lowest index, so that two machines agree.

An argmin is piecewise constant: its derivative is 0 or does not exist. The op has no gradient; how an encoder learns
nevertheless is the quantizer's affair (the straight-through estimator, [Defossez22, §3.2]).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from minicodec.backend import Op
from minicodec.ops.engine import pack
from minicodec.ops.engine_loops import GROUP, tile, wide_row
from minicodec.ops.microkernel import COLUMNS, ROWS, address
from minicodec.ops.nearest_codeword_cuda import nearest_codeword_forward_cupy

WIDTH = GROUP * COLUMNS  # codewords that are compared at once
STRIP = 16 * ROWS  # rows of x whose scores stay in the cache while all codewords pass by
INFINITY = np.float32(np.inf)


def nearest_codeword_forward(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    distance = (codebook**2).sum(axis=1) - 2 * (x @ codebook.T)
    return distance.argmin(axis=-1), ()


def nearest_codeword_backward(dy, saved):
    """dy (*b) -> nothing: neither input has a gradient."""
    return None, None


nearest_codeword = Op("nearest_codeword", nearest_codeword_forward, nearest_codeword_backward)


# Numba: the product tile by tile (ops/microkernel.py), and the smallest score found on the way, so that the distances
# of a long file are never all in memory. Each is -2 x·c + ‖c‖², summed with d ascending whatever rows stand beside it:
# the codes of a frame do not depend on how a stream is cut, and equal codewords tie exactly. Σ (x - c)² would be a
# little more accurate, since nothing cancels, at twice the arithmetic; but the two can only disagree about codewords
# whose distances differ by rounding, some 1e-6 of ‖x‖ ‖c‖, and those serve equally well.


class PackedCodebook(NamedTuple):
    """A codebook (N,D) as the search reads it; `pack_codebook` makes it."""

    panels: np.ndarray  # (groups,GROUP,D,COLUMNS), -2 c, the codewords of a panel side by side
    norms: np.ndarray  # (groups,GROUP·COLUMNS), ‖c‖², and infinity where there is no codeword


def pack_codebook(codebook):
    """codebook (N,D) -> PackedCodebook."""
    N, D = codebook.shape
    groups = -(-N // WIDTH)
    w = np.zeros((D, groups * WIDTH), np.float32)
    w[:, :N] = -2 * codebook.T
    norms = np.full(groups * WIDTH, np.inf, np.float32)
    norms[:N] = (codebook.astype(np.float64) ** 2).sum(axis=1)
    return PackedCodebook(pack(w[None]).panels.reshape(groups, GROUP, D, COLUMNS), norms.reshape(groups, WIDTH))


def search(x, codebook):
    """x (*b,D), a PackedCodebook -> codes (*b), int64."""
    D = codebook.panels.shape[2]
    if x.shape[-1] != D:
        raise ValueError(f"nearest_codeword: vectors of {x.shape[-1]} numbers, codewords of {D}")
    rows = np.array(x, np.float32, order="C").reshape(-1, D)
    codes = np.empty(len(rows), np.int64)
    _nearest(rows, codebook.panels, codebook.norms, codes)
    return codes.reshape(x.shape[:-1])


def nearest_codeword_forward_numba(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    return search(x, pack_codebook(codebook)), ()


@njit(cache=True, nogil=True)
def _nearest(x, panels, norms, codes):
    """x (R,D), panels (groups,GROUP,D,COLUMNS), norms (groups,WIDTH) -> codes (R), filled."""
    R, D = x.shape
    groups = len(norms)
    scores = np.empty(STRIP * WIDTH, np.float32)  # of a strip of rows with one group of panels
    best = np.empty(STRIP * WIDTH, np.float32)  # of the codewords so far that share a lane ...
    where = np.empty(STRIP * WIDTH, np.int32)  # ... and the group it was in
    for first in range(0, R, STRIP):
        rows = min(STRIP, R - first)
        for i in range(rows * WIDTH):
            best[i], where[i] = INFINITY, 0
        for k in range(groups):
            b, norm = address(panels) + 4 * k * D * WIDTH, norms[k]
            a, c = address(x) + 4 * first * D, address(scores)
            whole = rows // ROWS * ROWS
            for j in range(GROUP):
                b_j, c_j = b + 4 * j * D * COLUMNS, c + 4 * j * COLUMNS
                for m in range(0, whole, ROWS):
                    tile(a + 4 * m * D, D, 1, b_j, COLUMNS, 0, D, c_j + 4 * m * WIDTH, WIDTH, 0)
            for m in range(whole, rows):
                wide_row(a + 4 * m * D, 0, 1, b, COLUMNS, D * COLUMNS, D, c + 4 * m * WIDTH, 0, 0)
            for m in range(rows):
                row = slice(m * WIDTH, (m + 1) * WIDTH)
                some, so_far, there = scores[row], best[row], where[row]
                for lane in range(WIDTH):  # without a branch, so that it compiles to vector instructions
                    score = norm[lane] + some[lane]
                    closer = score < so_far[lane]
                    so_far[lane] = score if closer else so_far[lane]
                    there[lane] = np.int32(k) if closer else there[lane]
        for m in range(rows):
            smallest, code = best[m * WIDTH], where[m * WIDTH] * WIDTH
            for lane in range(1, WIDTH):
                score, n = best[m * WIDTH + lane], where[m * WIDTH + lane] * WIDTH + lane
                if score < smallest or (score == smallest and n < code):
                    smallest, code = score, n
            codes[first + m] = code


nearest_codeword.add("numba", nearest_codeword_forward_numba, nearest_codeword_backward)
nearest_codeword.add("cupy", nearest_codeword_forward_cupy, nearest_codeword_backward)
