"""The search for the nearest codeword, through all levels of a residual quantizer, a strip of rows at a time.

Definition: ops/nearest_codeword.py, and the loop of `ResidualVectorQuantizer.encode`.

In a strip, the distances of a long file are never all in memory; and a live frame goes through all levels in one call,
because calling costs as much as searching a level. The distances are -2 x·c + ‖c‖², summed with d ascending whatever
rows stand beside: the codes of a frame do not depend on how a stream is cut, and equal codewords tie exactly.
Σ (x - c)² would be a little more accurate, since nothing cancels, at twice the arithmetic; but the two can only
disagree about codewords whose distances differ by rounding, some 1e-6 of ‖x‖ ‖c‖, and those serve equally well.

z·c for all levels at once, and c·c' of all pairs of codewords from tables, would spare the levels from waiting for each
other. But the tables of eight levels are 117 MB, and their sums would round otherwise than the definition's.
"""

from typing import Any, NamedTuple

import numpy as np

from minicodec.kernels.cpu.engine.addresses import address, get, put
from minicodec.kernels.cpu.engine.compile import compiled, inner
from minicodec.kernels.cpu.engine.loops import GROUP, tile, wide_row
from minicodec.kernels.cpu.engine.products import pack
from minicodec.kernels.cpu.engine.tile import COLUMNS, ROWS
from minicodec.ops.nearest_codeword import nearest_codeword, nearest_codeword_backward
from minicodec.threads import share_out, threads_for

STRIP = 96  # rows whose scores, with a thousand codewords, stay in the cache until they are compared
HALF = np.float32(0.5)


class PackedCodebooks(NamedTuple):
    """Codebooks (Q,N,D) as the search reads them; `pack_codebooks` makes it. N' is N and zeros, up to whole groups."""

    panels: Any  # (Q,N'/COLUMNS,D,COLUMNS), -2 c
    norms: Any  # (Q,N'), ‖c‖²
    N: int


def pack_codebooks(codebooks):
    """codebooks (Q,N,D) -> PackedCodebooks."""
    Q, N, D = codebooks.shape
    wide = -(-N // (GROUP * COLUMNS)) * GROUP * COLUMNS
    w, norms = np.zeros((1, D, Q, wide), np.float32), np.zeros((Q, wide), np.float32)
    w[0, :, :, :N] = -2 * codebooks.transpose(2, 0, 1)
    norms[:, :N] = (codebooks.astype(np.float64) ** 2).sum(axis=2)
    return PackedCodebooks(pack(w).panels.reshape(Q, -1, D, COLUMNS), norms, N)


def search(x, codebooks):
    """x (*b,D), PackedCodebooks -> codes (Q,*b) int64: of x, of what level 1 leaves of it, and so on."""
    Q, _, D, _ = codebooks.panels.shape
    if x.shape[-1] != D:
        raise ValueError(f"nearest_codeword: vectors of {x.shape[-1]} numbers, codewords of {D}")
    rows = np.array(x, np.float32, order="C").reshape(-1, D)  # a copy: it becomes what is left
    codes = np.empty((Q, len(rows)), np.int64)
    wide = codebooks.norms.shape[1]

    def share(first, last):
        room = np.empty(min(STRIP, len(rows)) * wide, np.float32)
        search_strips(first, last, room, rows, *codebooks, codes)

    share_out(threads_for(multiplications=rows.size * Q * wide), -(-len(rows) // STRIP), share)
    return codes.reshape(Q, *x.shape[:-1])


@compiled
def search_strips(first, last, room, rows, panels, norms, N, codes):
    """Strips first ... last - 1 of rows (R,D) -> the same of codes (Q,R). room is for STRIP x N' scores."""
    (R, D), (Q, wide) = rows.shape, norms.shape
    for strip in range(first, last):
        start = strip * STRIP
        count, x = min(STRIP, R - start), address(rows) + 4 * start * D
        for q in range(Q):
            w, norm = address(panels) + 4 * q * wide * D, address(norms) + 4 * q * wide
            _scores(x, count, D, w, wide, address(room))
            for i in range(count):
                score, x_i = address(room) + 4 * i * wide, x + 4 * i * D
                code, best = 0, get(score, 0) + get(norm, 0)
                for n in range(1, N):
                    s = get(score, n) + get(norm, n)
                    if s < best:  # the first of equals
                        code, best = n, s
                codes[q, start + i] = code
                chosen = w + 4 * (code // COLUMNS * D * COLUMNS + code % COLUMNS)
                for d in range(D):
                    put(x_i, d, get(x_i, d) + HALF * get(chosen, d * COLUMNS))  # x - c, to the bit


@inner
def _scores(x, count, D, w, wide, out):
    """x (count,D) times w (D,N') in panels -> out (count,N')."""
    in_tiles = count // ROWS * ROWS
    for n in range(0, wide, COLUMNS):
        for m in range(0, in_tiles, ROWS):
            tile(x + 4 * m * D, D, 1, w + 4 * n * D, COLUMNS, 0, D, out + 4 * (m * wide + n), wide, 0)
    for m in range(in_tiles, count):
        for n in range(0, wide, GROUP * COLUMNS):
            wide_row(x + 4 * m * D, 0, 1, w + 4 * n * D, COLUMNS, COLUMNS * D, D, out + 4 * (m * wide + n), 0, 0)


def nearest_codeword_forward_numba(x, codebook):
    """x (*b,D), codebook (N,D) -> codes (*b), int64 in [0, N)."""
    return search(x, pack_codebooks(codebook[None]))[0], ()


nearest_codeword.add("numba", nearest_codeword_forward_numba, nearest_codeword_backward)
