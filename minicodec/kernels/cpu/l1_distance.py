"""The mean distance in one pass over memory, shared out among threads. Definition: ops/fused.py.

Feature maps are megabytes. The blocks are the same for any number of threads, and so are the bits.
"""

import numpy as np

from minicodec.kernels.cpu.engine.addresses import address, get, put
from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.kernels.cpu.engine.fastmath import ZERO
from minicodec.ops.fused import l1_distance, l1_distance_forward
from minicodec.threads import share_out, threads_for

BLOCK = 65536  # numbers, some 20 µs of work
SIDE_BY_SIDE = 256  # sums that a block is added to, in the L1 cache: a loop with a single sum could not use vectors


@compiled
def distances(first, last, x, y, sums):
    """x, y -> sums (blocks,SIDE_BY_SIDE) of |x - y|, which come as zeros, of some blocks."""
    for i in range(first, last):
        to = address(sums) + 4 * i * SIDE_BY_SIDE
        for m in range(i * BLOCK, min((i + 1) * BLOCK, x.size), SIDE_BY_SIDE):
            x_m, y_m = address(x) + 4 * m, address(y) + 4 * m
            for k in range(min(SIDE_BY_SIDE, x.size - m)):
                put(to, k, get(to, k) + abs(get(x_m, k) - get(y_m, k)))


@compiled
def slopes(first, last, x, y, scale, dx):
    """Entries first ... last - 1 of x, y -> dx, sign(x - y) · scale."""
    x, y, dx = address(x), address(y), address(dx)
    for i in range(first, last):
        x_i, y_i = get(x, i), get(y, i)
        slope = (scale if x_i > y_i else ZERO) - (scale if x_i < y_i else ZERO)
        difference = x_i - y_i
        put(dx, i, slope if difference == difference else difference)  # NaN stays NaN


def l1_distance_forward_numba(x, y):
    """x (*x), y (*x) -> d ()."""
    if x.shape != y.shape:
        return l1_distance_forward(x, y)
    sums = np.zeros((-(-x.size // BLOCK), SIDE_BY_SIDE), np.float32)
    share_out(threads_for(x.size), len(sums), distances, *flat(x, y), sums)
    return sums.sum() / np.float32(x.size), (x, y)


def l1_distance_backward_numba(dd, saved, *, needs=(True, True)):
    """dd () -> dx (*x), dy (*x)."""
    x, y = saved
    dx = np.empty(x.shape, np.float32)
    share_out(threads_for(x.size), x.size, slopes, *flat(x, y), np.float32(dd / x.size), dx.reshape(-1))
    return dx, -dx if needs[1] else None


def flat(*arrays):
    """The arrays in one dimension."""
    return [np.ascontiguousarray(a).reshape(-1) for a in arrays]


l1_distance.add("numba", l1_distance_forward_numba, l1_distance_backward_numba)
