"""Matrix products: of two arrays, and of an array with a weight matrix (a linear layer; its bias is `add`).

With Y = A B, entry Y[i, j] = Σ_k A[i, k] B[k, j] meets A[i, k] through B[k, j] and the other way round, so

    dA = dY Bᵀ        dB = Aᵀ dY

which one can also read off the shapes: no other product of these arrays fits.
"""

import numpy as np

from minicodec.backend import Op
from minicodec.ops.arithmetic import unbroadcast
from minicodec.ops.engine import multiply, multiply_transposed
from minicodec.ops.linear_cuda import linear_backward_cupy, linear_forward_cupy


def matmul_forward(a, b):
    """a (*a,T,C), b (*b,C,To) -> y (*y,T,To), the axes in front broadcast against each other."""
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"matmul: matrices have at least 2 axes; got shapes {a.shape} and {b.shape}")
    return a @ b, (a, b)


def matmul_backward(dy, saved):
    """dy (*y,T,To) -> da (*a,T,C), db (*b,C,To)."""
    a, b = saved
    return unbroadcast(dy @ b.swapaxes(-1, -2), a.shape), unbroadcast(a.swapaxes(-1, -2) @ dy, b.shape)


matmul = Op("matmul", matmul_forward, matmul_backward)


def linear_forward(x, w):
    """x (*b,Ci), w (Ci,Co) -> y (*b,Co)."""
    return x @ w, (x, w)


def linear_backward(dy, saved):
    """dy (*b,Co) -> dx (*b,Ci), dw (Ci,Co): every row of x used the same w, so dw is a sum over rows."""
    x, w = saved
    Ci, Co = w.shape
    return dy @ w.T, x.reshape(-1, Ci).T @ dy.reshape(-1, Co)


linear = Op("linear", linear_forward, linear_backward)


# Numba: one row of x after the other (ops/engine.py). Not for speed alone: BLAS sums a row in another order when there
# are more rows or threads, and a codec's bits must not depend on how much audio it is given at a time.


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
linear.add("cupy", linear_forward_cupy, linear_backward_cupy)
