"""Adding a bias to each of M rows, M in the millions, and summing its gradient. Definitions: ops/arithmetic.py.

NumPy begins its loop for the former anew for each row, of perhaps 16 numbers.
"""

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.ops.arithmetic import (
    add,
    add_forward,
    unbroadcast,
)
from minicodec.threads import share_out, threads_for

SIDE_BY_SIDE = 2048  # numbers that are added to as many sums, in the L1 cache
BLOCK = 128  # times


@compiled
def add_to_rows(first, last, rows, bias, y):
    """rows (M,C), bias (C) -> y (M,C), from row `first` to before `last`."""
    for m in range(first, last):
        row, sums = rows[m], y[m]
        for c in range(bias.size):
            sums[c] = row[c] + bias[c]


def add_forward_numba(a, b):
    """a (*a), b (*b) -> y (*y), y = a + b."""
    rows_and_bias = a.ndim > 1 and a.size > 0 and a.shape[-1:] == b.shape and a.flags.c_contiguous
    if not rows_and_bias or not a.dtype == b.dtype == np.float32:
        return add_forward(a, b)
    y = np.empty((a.size // b.size, b.size), np.float32)
    share_out(threads_for(a.size), len(y), add_to_rows, a.reshape(y.shape), np.ascontiguousarray(b), y)
    return y.reshape(a.shape), (a.shape, b.shape)


def column_sums(rows):
    """rows (M,C) -> (C). NumPy adds long rows up to ten times as fast as short ones, so several rows make a long one.

    Threads share out blocks of long rows, which are always the same: so are the bits.
    """
    M, C = rows.shape
    run = max(1, SIDE_BY_SIDE // C)
    whole = M // run * run
    long = rows[:whole].reshape(-1, run * C)
    sums = np.zeros((-(-len(long) // BLOCK), run * C), rows.dtype)

    def share(first, last):
        for i in range(first, last):
            long[i * BLOCK : (i + 1) * BLOCK].sum(axis=0, out=sums[i])

    share_out(threads_for(rows.size), len(sums), share)
    return sums.sum(axis=0).reshape(run, C).sum(axis=0) + rows[whole:].sum(axis=0)


def add_backward_numba(dy, saved, *, needs=(True, True)):
    """dy (*y) -> da (*a), db (*b)."""
    a_shape, b_shape = saved
    db = None
    if needs[1] and dy.ndim > 1 and dy.shape[-1:] == b_shape and dy.flags.c_contiguous:
        db = column_sums(dy.reshape(-1, *b_shape))
    elif needs[1]:
        db = unbroadcast(dy, b_shape)
    return unbroadcast(dy, a_shape) if needs[0] else None, db


add.add("numba", add_forward_numba, add_backward_numba)
