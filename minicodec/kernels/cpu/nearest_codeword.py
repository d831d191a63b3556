"""The search for the nearest codeword, through all levels of a residual quantizer, a strip of rows at a time.

Definitions: ops/nearest_codeword.py, and `beam_search` in codec/quantizer.py.

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
from minicodec.kernels.cpu.engine.fastmath import ZERO
from minicodec.kernels.cpu.engine.loops import GROUP, tile, wide_row
from minicodec.kernels.cpu.engine.products import pack
from minicodec.kernels.cpu.engine.tile import COLUMNS, ROWS
from minicodec.ops.nearest_codeword import nearest_codeword, nearest_codeword_backward
from minicodec.threads import share_out, threads_for

STRIP = 96  # rows whose scores, with a thousand codewords, stay in the cache until they are compared
BLOCK = GROUP * COLUMNS  # scores that are compared at once; N' is a whole number of blocks
HALF, INFINITY = np.float32(0.5), np.float32(np.inf)


class PackedCodebooks(NamedTuple):
    """Codebooks (Q,N,D) as the search reads them; `pack_codebooks` makes it. N' is N and zeros, up to whole groups."""

    panels: Any  # (Q,N'/COLUMNS,D,COLUMNS), -2 c
    norms: Any  # (Q,N'), ‖c‖², infinite where there is no codeword
    N: int


def pack_codebooks(codebooks):
    """codebooks (Q,N,D) -> PackedCodebooks."""
    Q, N, D = codebooks.shape
    wide = -(-N // (GROUP * COLUMNS)) * GROUP * COLUMNS
    w, norms = np.zeros((1, D, Q, wide), np.float32), np.zeros((Q, wide), np.float32)
    w[0, :, :, :N] = -2 * codebooks.transpose(2, 0, 1)
    norms[:, N:] = np.inf
    norms[:, :N] = (codebooks.astype(np.float64) ** 2).sum(axis=2)
    return PackedCodebooks(pack(w).panels.reshape(Q, -1, D, COLUMNS), norms, N)


def search(x, codebooks, beam=1):
    """x (*b,D), PackedCodebooks -> codes (Q,*b) int64: of x, of what level 1 leaves of it, and so on.

    beam: how many choices are followed at once, 1 ... STRIP, as in `beam_search`.
    """
    Q, _, D, _ = codebooks.panels.shape
    if x.shape[-1] != D:
        raise ValueError(f"nearest_codeword: vectors of {x.shape[-1]} numbers, codewords of {D}")
    rows = np.ascontiguousarray(x, np.float32).reshape(-1, D)
    codes = np.empty((Q, len(rows)), np.int64)
    each, wide = STRIP // beam, codebooks.norms.shape[1]

    def share(first, last):
        count = min(each, len(rows)) * beam
        scores, left = np.empty(count * wide, np.float32), np.empty((2, count, D), np.float32)
        choices = np.empty((2, count), np.float32), np.empty((2, count, Q), np.int64), np.empty(beam, np.int64)
        search_strips(first, last, each, scores, left, *choices, rows, *codebooks, codes)

    share_out(threads_for(multiplications=rows.size * beam * Q * wide), -(-len(rows) // each), share)
    return codes.reshape(Q, *x.shape[:-1])


@compiled
def search_strips(first, last, each, scores, left, costs, paths, best, rows, panels, norms, N, codes):
    """Strips first ... last - 1 of `each` rows of (R,D) -> the same of codes (Q,R).

    Of each row, as many choices are followed as `best` (beam) has room for. What is known of these, before a level and
    after it: left (2,·,D), what each leaves of its row; costs (2,·), the square of that, less the best choice's; paths
    (2,·,Q), its codes. scores is room for N' numbers for each.
    """
    (R, D), (Q, wide), beam = rows.shape, norms.shape, len(best)
    for strip in range(first, last):
        start = strip * each
        count, before = min(each, R - start), 1  # rows; choices of each
        for i in range(count):
            costs[0, i] = ZERO
            for d in range(D):
                left[0, i, d] = rows[start + i, d]
        for q in range(Q):
            now, then = q % 2, 1 - q % 2
            after = min(beam, before * N) if q < Q - 1 else 1
            w, norm = address(panels) + 4 * q * wide * D, address(norms) + 4 * q * wide
            _scores(address(left) + 4 * now * left.shape[1] * D, count * before, D, w, wide, address(scores))
            for i in range(count):
                cost = address(costs) + 4 * (then * costs.shape[1] + i * after)
                for k in range(after):
                    put(cost, k, INFINITY)
                    best[k] = i * before * N
                for j in range(i * before, (i + 1) * before):
                    _choose(address(scores) + 4 * j * wide, norm, costs[now, j], wide, j * N, cost, best, after)
                least = get(cost, 0)
                for k in range(after):
                    put(cost, k, get(cost, k) - least)
                    j, n = best[k] // N, best[k] % N
                    for p in range(q):
                        paths[then, i * after + k, p] = paths[now, j, p]
                    paths[then, i * after + k, q] = n
                    codeword = w + 4 * (n // COLUMNS * D * COLUMNS + n % COLUMNS)
                    for d in range(D):  # x - c, to the bit
                        left[then, i * after + k, d] = left[now, j, d] + HALF * get(codeword, d * COLUMNS)
            before = after
        for i in range(count):
            for q in range(Q):
                codes[q, start + i] = paths[Q % 2, i, q]


@inner
def _choose(score, norm, cost, wide, name, least, best, count):
    """Find a place for codewords 0 ... N' - 1, called name ... name + N' - 1, among the `count` best, ascending.

    least has these sums of score, norm and cost. Few codewords are so good: whole blocks are passed over at once.
    """
    worst = get(least, count - 1)
    for first in range(0, wide, BLOCK):
        better = 0
        for n in range(first, first + BLOCK):
            better += get(score, n) + get(norm, n) + cost < worst
        for n in range(first, first + BLOCK if better else first):
            s = get(score, n) + get(norm, n) + cost
            if s < worst:
                k = count - 1
                while k > 0 and s < get(least, k - 1):  # behind its equals: the first stays first
                    put(least, k, get(least, k - 1))
                    best[k] = best[k - 1]
                    k -= 1
                put(least, k, s)
                best[k] = name + n
                worst = get(least, count - 1)


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
