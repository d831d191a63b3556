"""The mean distance of numbers, what the L1 and the feature matching loss are made of [Defossez22, §3.4].

    d = mean |x - y|                  dx = sign(x - y) / n,   dy = -dx

A median minimises it, where the mean minimises squares: a few large differences rule it less.
"""

import numba
import numpy as np
from numba import njit

from minicodec.backend import Op, xp
from minicodec.ops.fastmath import ZERO
from minicodec.ops.memory import address, get, put
from minicodec.ops.workers import share_out


def l1_distance_forward(x, y):
    """x (*x), y (*x) -> d ()."""
    if x.shape != y.shape:
        raise ValueError(f"l1_distance: shapes {x.shape} and {y.shape} differ")
    return abs(x - y).mean(), (x, y)


def l1_distance_backward(dd, saved):
    """dd () -> dx (*x), dy (*x): at x = y, where the distance has no slope, the mean of both sides, 0."""
    x, y = saved
    dx = xp(x).sign(x - y) * (dd / x.size)
    return dx, -dx


l1_distance = Op("l1_distance", l1_distance_forward, l1_distance_backward)


# For float32, one pass over memory, shared out among threads: feature maps are megabytes. Blocks are always the same,
# and so are the bits.

BLOCK = 65536  # numbers, some 20 µs of work
SIDE_BY_SIDE = 256  # sums that a block is added to, in the L1 cache: a loop with a single sum could not use vectors


@njit(cache=True, nogil=True)
def distances(first, last, x, y, sums):
    """x, y -> sums (blocks,SIDE_BY_SIDE) of |x - y|, which come as zeros, of some blocks."""
    for i in range(first, last):
        to = address(sums) + 4 * i * SIDE_BY_SIDE
        for m in range(i * BLOCK, min((i + 1) * BLOCK, x.size), SIDE_BY_SIDE):
            x_m, y_m = address(x) + 4 * m, address(y) + 4 * m
            for k in range(min(SIDE_BY_SIDE, x.size - m)):
                put(to, k, get(to, k) + abs(get(x_m, k) - get(y_m, k)))


@njit(cache=True, nogil=True)
def slopes(first, last, x, y, scale, dx):
    """Entries first ... last - 1 of x, y -> dx, sign(x - y) · scale."""
    x, y, dx = address(x), address(y), address(dx)
    for i in range(first, last):
        x_i, y_i = get(x, i), get(y, i)
        put(dx, i, (scale if x_i > y_i else ZERO) - (scale if x_i < y_i else ZERO))


def l1_distance_forward_fast(x, y):
    """x (*x), y (*x) -> d ()."""
    if x.shape != y.shape or x.size == 0:
        return l1_distance_forward(x, y)
    sums = np.zeros((-(-x.size // BLOCK), SIDE_BY_SIDE), np.float32)
    share_out(numba.get_num_threads(), len(sums), distances, *flat(x, y), sums)
    return sums.sum() / np.float32(x.size), (x, y)


def l1_distance_backward_fast(dd, saved, *, needs=(True, True)):
    """dd () -> dx (*x), dy (*x)."""
    x, y = saved
    dx, threads = np.empty(x.shape, np.float32), numba.get_num_threads() if x.size >= BLOCK else 1
    share_out(threads, x.size, slopes, *flat(x, y), np.float32(dd / x.size), dx.reshape(-1))
    return dx, -dx if needs[1] else None


def flat(*arrays):
    """The arrays in one dimension."""
    return [np.ascontiguousarray(a).reshape(-1) for a in arrays]


l1_distance.add("numba", l1_distance_forward_fast, l1_distance_backward_fast)
