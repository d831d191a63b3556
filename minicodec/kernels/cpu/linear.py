"""The linear layer: one row of x after the other on the engine. Definition: ops/linear.py.

Not for speed alone: BLAS sums a row in another order when there are more rows or threads, and a codec's bits must not
depend on how much audio it is given at a time.
"""

import numpy as np

from minicodec.kernels.cpu.engine.products import multiply, multiply_transposed
from minicodec.ops.linear import linear


def linear_forward_numba(x, w):
    """x (*b,Ci), w (Ci,Co) -> y (*b,Co), a row's bits the same whatever the other rows."""
    x = np.ascontiguousarray(x)
    return rows_times(x, w), (x, w)


def linear_backward_numba(dy, saved, *, needs=(True, True)):
    """dy (*b,Co) -> dx (*b,Ci), dw (Ci,Co)."""
    x, w = saved
    Ci, Co = w.shape
    dy = np.ascontiguousarray(dy)
    dx = dw = None
    if needs[0]:
        dx = rows_times(dy, w.T)
    if needs[1]:
        dw = multiply_transposed(x, dy.reshape(1, -1, Co), taps=1, P=Ci, batch_step=0, row_step=Ci)[0]
    return dx, dw


def rows_times(x, w):
    """x (*b,Ci), w (Ci,Co) -> y (*b,Co)."""
    Ci, Co = w.shape
    y = np.empty((1, x.size // Ci, Co), np.float32)
    return multiply(x, w[None], y, batch_step=0, row_step=Ci).reshape(*x.shape[:-1], Co)


linear.add("numba", linear_forward_numba, linear_backward_numba)
