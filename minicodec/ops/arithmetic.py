"""Elementwise arithmetic with broadcasting: add, sub, mul, div, neg, power.

Broadcasting uses an entry several times, so its gradient is the sum over those uses: `unbroadcast` is the adjoint of
broadcasting, and the only thing here that needs a thought.
"""

import numba
import numpy as np
from numba import njit

from minicodec.backend import Op, xp
from minicodec.ops.column_sums_cuda import column_sums_cupy
from minicodec.ops.workers import share_out


def unbroadcast(g, shape):
    """Sum g over the axes that broadcasting added or stretched, so that it has `shape` again."""
    added = tuple(range(g.ndim - len(shape)))
    g = g.sum(axis=added) if added else g
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


def add_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a + b."""
    return a + b, (a.shape, b.shape)


def add_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b)."""
    a_shape, b_shape = saved
    return unbroadcast(dy, a_shape), unbroadcast(dy, b_shape)


add = Op("add", add_forward, add_backward)


# For float32, faster ways to add a bias to each of M rows, M in the millions, and to sum its gradient. NumPy's loop for
# the former is begun anew for each row, of perhaps 16 numbers.

SIDE_BY_SIDE = 2048  # numbers that are added to as many sums, in the L1 cache
BLOCK = 128  # times
SMALL = 65536  # numbers: with fewer, waking another thread takes longer than the work


@njit(cache=True, nogil=True)
def add_to_rows(first, last, rows, bias, y):
    """rows (M,C), bias (C) -> y (M,C), from row `first` to before `last`."""
    for m in range(first, last):
        row, sums = rows[m], y[m]
        for c in range(bias.size):
            sums[c] = row[c] + bias[c]


def add_forward_fast(a, b):
    """a (*a), b (*b) -> y (*y), y = a + b."""
    rows_and_bias = a.ndim > 1 and a.size > 0 and a.shape[-1:] == b.shape and a.flags.c_contiguous
    if not rows_and_bias or not a.dtype == b.dtype == np.float32:
        return add_forward(a, b)
    y = np.empty((a.size // b.size, b.size), np.float32)
    threads = numba.get_num_threads() if a.size >= SMALL else 1
    share_out(threads, len(y), add_to_rows, a.reshape(y.shape), np.ascontiguousarray(b), y)
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

    def some(first, last):
        for i in range(first, last):
            long[i * BLOCK : (i + 1) * BLOCK].sum(axis=0, out=sums[i])

    share_out(numba.get_num_threads() if rows.size >= SMALL else 1, len(sums), some)
    return sums.sum(axis=0).reshape(run, C).sum(axis=0) + rows[whole:].sum(axis=0)


def add_backward_fast(dy, saved, *, needs=(True, True)):
    """dy (*y) -> da (*a), db (*b)."""
    a_shape, b_shape = saved
    db = None
    if needs[1] and dy.ndim > 1 and dy.shape[-1:] == b_shape and dy.flags.c_contiguous:
        sums = column_sums if xp(dy) is np else column_sums_cupy
        db = sums(dy.reshape(-1, *b_shape))
    elif needs[1]:
        db = unbroadcast(dy, b_shape)
    return unbroadcast(dy, a_shape) if needs[0] else None, db


add.add("numba", add_forward_fast, add_backward_fast)
add.add("cupy", add_forward, add_backward_fast)


def sub_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a - b."""
    return a - b, (a.shape, b.shape)


def sub_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b)."""
    a_shape, b_shape = saved
    return unbroadcast(dy, a_shape), unbroadcast(-dy, b_shape)


sub = Op("sub", sub_forward, sub_backward)


def mul_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a b."""
    return a * b, (a, b)


def mul_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b)."""
    a, b = saved
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)


mul = Op("mul", mul_forward, mul_backward)


def div_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a / b."""
    y = a / b
    return y, (y, a.shape, b)


def div_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b), db = -dy a / b² = -dy y / b."""
    y, a_shape, b = saved
    da = dy / b
    return unbroadcast(da, a_shape), unbroadcast(-da * y, b.shape)


div = Op("div", div_forward, div_backward)


def neg_forward(x):
    """x (*x) -> y (*x), y = -x."""
    return -x, ()


def neg_backward(dy, saved):
    """dy (*x) -> dx (*x)."""
    return (-dy,)


neg = Op("neg", neg_forward, neg_backward)


def power_forward(x, *, exponent):
    """x (*x) -> y (*x), y = x ** exponent, for a constant exponent."""
    return x**exponent, (x,)


def power_backward(dy, saved, *, exponent):
    """dy (*x) -> dx (*x), dx = dy · exponent · x ** (exponent - 1)."""
    (x,) = saved
    return (dy * exponent * x ** (exponent - 1),)


power = Op("power", power_forward, power_backward)
