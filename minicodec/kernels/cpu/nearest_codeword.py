"""The search for the nearest codeword, a strip of rows at a time. Definition: ops/nearest_codeword.py.

So the distances of a long file are never all in memory. They are -2 x·c + ‖c‖², summed with d ascending whatever rows
stand beside: the codes of a frame do not depend on how a stream is cut, and equal codewords tie exactly. Σ (x - c)²
would be a little more accurate, since nothing cancels, at twice the arithmetic; but the two can only disagree about
codewords whose distances differ by rounding, some 1e-6 of ‖x‖ ‖c‖, and those serve equally well.
"""

from typing import NamedTuple

import numpy as np

from minicodec.kernels.cpu.engine.products import Packed, multiply, pack
from minicodec.ops.nearest_codeword import nearest_codeword, nearest_codeword_backward
from minicodec.threads import share_out, threads_for

STRIP = 96  # rows of x whose scores, with a thousand codewords, stay in the cache until they are compared


class PackedCodebook(NamedTuple):
    """A codebook (N,D) as the search reads it; `pack_codebook` makes it."""

    w: Packed  # (1,D,N), -2 c
    norms: np.ndarray  # (N), ‖c‖²


def pack_codebook(codebook):
    """codebook (N,D) -> PackedCodebook."""
    norms = (codebook.astype(np.float64) ** 2).sum(axis=1)
    return PackedCodebook(pack(-2 * codebook.T[None]), norms.astype(np.float32))


def search(x, codebook):
    """x (*b,D), a PackedCodebook -> codes (*b), int64."""
    _, D, N = codebook.w.shape
    if x.shape[-1] != D:
        raise ValueError(f"nearest_codeword: vectors of {x.shape[-1]} numbers, codewords of {D}")
    rows = np.ascontiguousarray(x, np.float32).reshape(-1, D)
    codes = np.empty(len(rows), np.int64)
    threads = threads_for(multiplications=rows.size * N)
    share_out(threads, -(-len(rows) // STRIP), _search_strips, rows, codebook, codes)
    return codes.reshape(x.shape[:-1])


def _search_strips(first, last, rows, codebook, codes):
    """Strips first ... last - 1 of rows (R,D) -> the same of codes (R)."""
    _, D, N = codebook.w.shape
    scores = np.empty((1, min(STRIP, len(rows)), N), np.float32)
    for start in range(first * STRIP, last * STRIP, STRIP):
        some = rows[start : start + STRIP]
        of_some = scores[:, : len(some)]
        multiply(some, codebook.w, of_some, batch_step=0, row_step=D, bias=codebook.norms)
        of_some[0].argmin(axis=1, out=codes[start : start + STRIP])  # the first of equals


def nearest_codeword_forward_numba(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    return search(x, pack_codebook(codebook)), ()


nearest_codeword.add("numba", nearest_codeword_forward_numba, nearest_codeword_backward)
