"""The nearest codeword: one step of a vector quantizer.

    code(x) = argmin_n ‖x - c_n‖²,        ‖x - c_n‖² = ‖x‖² - 2 x·c_n + ‖c_n‖²

The first term is the same for every n and cannot change the argmin, so it is left out; the second is one matrix
product, (rows,D) times (D,N). Ties go to the lowest index, so that two machines agree.

An argmin is piecewise constant: its derivative is 0 or does not exist. The op has no gradient; how an encoder learns
nevertheless is the quantizer's affair (the straight-through estimator, [Defossez22, §3.2]).
"""

import numpy as np
from numba import njit

from minicodec.backend import Op
from minicodec.ops.engine_loops import one_row, tile
from minicodec.ops.microkernel import COLUMNS, ROWS, address

STRIP = 256  # rows of x that stay in the L2 cache while all codewords pass by
MINUS_TWO, QUARTER, INFINITY = np.float32(-2), np.float32(0.25), np.float32(np.inf)


def nearest_codeword_forward(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    distance = (codebook**2).sum(axis=1) - 2 * (x @ codebook.T)
    return distance.argmin(axis=-1), ()


def nearest_codeword_backward(dy, saved):
    """dy (*b) -> nothing: neither input has a gradient."""
    return None, None


nearest_codeword = Op("nearest_codeword", nearest_codeword_forward, nearest_codeword_backward)


# Numba: the product tile by tile (ops/microkernel.py), and the smallest score found on the way, so that the distances
# of a long file are never all in memory. Each is ‖c‖² - 2 x·c, summed with d ascending whatever rows stand beside it:
# the codes of a frame do not depend on how a stream is cut, and equal codewords tie exactly. Σ (x - c)² would be a
# little more accurate, since nothing cancels, at twice the arithmetic; but the two can only disagree about codewords
# whose distances differ by rounding, some 1e-6 of ‖x‖ ‖c‖, and those serve equally well.


def nearest_codeword_forward_numba(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    if x.shape[-1] != codebook.shape[1]:
        raise ValueError(f"nearest_codeword: vectors of {x.shape[-1]} numbers, codewords of {codebook.shape[1]}")
    rows = np.ascontiguousarray(x, np.float32).reshape(-1, x.shape[-1])
    codes = np.empty(len(rows), np.int64)
    _nearest(rows, np.ascontiguousarray(codebook, np.float32), codes)
    return codes.reshape(x.shape[:-1]), ()


@njit(cache=True, nogil=True)
def _nearest(x, codebook, codes):
    """x (R,D), codebook (N,D) -> codes (R), filled."""
    R, D = x.shape
    N = len(codebook)
    panels = -(-N // COLUMNS)
    packed = np.zeros((panels, D, COLUMNS), np.float32)  # -2 c, COLUMNS codewords side by side
    for n in range(N):
        for d in range(D):
            packed[n // COLUMNS, d, n % COLUMNS] = MINUS_TWO * codebook[n, d]
    norms = np.zeros((panels, COLUMNS), np.float32)  # ‖c‖²
    for k in range(panels):
        for d in range(D):
            for lane in range(COLUMNS):
                norms[k, lane] += QUARTER * packed[k, d, lane] * packed[k, d, lane]
    for lane in range(N - (panels - 1) * COLUMNS, COLUMNS):
        norms[panels - 1, lane] = INFINITY  # no codeword

    scores = np.empty(STRIP * COLUMNS, np.float32)  # of a strip of rows with one panel
    best = np.empty(STRIP * COLUMNS, np.float32)  # of the codewords so far that share a lane ...
    where = np.empty(STRIP * COLUMNS, np.int32)  # ... and the panel it was in
    for first in range(0, R, STRIP):
        rows = min(STRIP, R - first)
        for i in range(rows * COLUMNS):
            best[i], where[i] = INFINITY, 0
        for k in range(panels):
            for m in range(rows):
                for lane in range(COLUMNS):
                    scores[m * COLUMNS + lane] = norms[k, lane]
            m = 0
            while m < rows:
                a, b = address(x) + 4 * (first + m) * D, address(packed) + 4 * k * D * COLUMNS
                c = address(scores) + 4 * m * COLUMNS
                if m + ROWS <= rows:
                    tile(a, D, 1, b, COLUMNS, 0, D, c, COLUMNS, 1)
                    m += ROWS
                else:
                    one_row(a, D, 1, b, COLUMNS, 0, D, c, COLUMNS, 1)
                    m += 1
            for i in range(rows * COLUMNS):  # one plain loop, without a branch, compiles to vector instructions
                closer = scores[i] < best[i]
                best[i] = scores[i] if closer else best[i]
                where[i] = np.int32(k) if closer else where[i]
        for m in range(rows):
            smallest, code = best[m * COLUMNS], where[m * COLUMNS] * COLUMNS
            for lane in range(1, COLUMNS):
                score, n = best[m * COLUMNS + lane], where[m * COLUMNS + lane] * COLUMNS + lane
                if score < smallest or (score == smallest and n < code):
                    smallest, code = score, n
            codes[first + m] = code


nearest_codeword.add("numba", nearest_codeword_forward_numba, nearest_codeword_backward)
