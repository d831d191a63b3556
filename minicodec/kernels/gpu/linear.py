"""The linear layer on a GPU: `x @ w` by way of kernels/gpu/cublas.py."""

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cublas import Matrices, gemm
from minicodec.kernels.gpu.cuda import contiguous
from minicodec.ops.linear import linear


def linear_forward_cupy(x, w):
    """x (*b,Ci), w (Ci,Co) -> y (*b,Co)."""
    x, w = contiguous(x, w)
    (Ci, Co), rows = w.shape, x.size // w.shape[0]
    y = xp(x).empty((*x.shape[:-1], Co), np.float32)
    gemm(Matrices(x, Ci), Matrices(w, Co), Matrices(y, Co), (rows, Co, Ci))
    return y, (x, w)


def linear_backward_cupy(dy, saved, *, needs=(True, True)):
    """dy (*b,Co) -> dx (*b,Ci), dw (Ci,Co)."""
    x, w = saved
    (dy,) = contiguous(dy)
    (Ci, Co), rows = w.shape, x.size // w.shape[0]
    dx = dw = None
    if needs[0]:
        dx = xp(x).empty(x.shape, np.float32)
        gemm(Matrices(dy, Co), Matrices(w, Co, transposed=True), Matrices(dx, Ci), (rows, Ci, Co))
    if needs[1]:
        dw = xp(x).empty((Ci, Co), np.float32)
        gemm(Matrices(x, Ci, transposed=True), Matrices(dy, Co), Matrices(dw, Co), (Ci, Co, rows))
    return dx, dw


linear.add("cupy", linear_forward_cupy, linear_backward_cupy)
