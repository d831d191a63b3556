"""The convolution on a GPU: products over overlapping rows [cublas.py]. Definition: ops/conv1d.py.

The same three products as on a CPU. `correlate` slides windows over x; `spread`, its transpose, lets each frame of x
write a window; `correlate_dw` is the gradient of the weights of both.
"""

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cublas import multiply, multiply_transposed
from minicodec.kernels.gpu.cuda import contiguous
from minicodec.kernels.gpu.padding import padded
from minicodec.ops.conv1d import conv1d


def steps(x, stride, dilation):
    """Where the windows of x (B,T,C) lie and where in a window its frames."""
    _, T, C = x.shape
    return {"batch_step": T * C, "row_step": stride * C, "tap_step": dilation * C}


def correlate(x, w, To, stride, dilation):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), y[t] = Σ_k x[t·stride + k·dilation] w[k]."""
    B, T, Ci = x.shape
    K, _, Co = w.shape
    if Co == 1 and stride == 1 and K > 1:
        # The decoder's last layer. A product for each tap, all in one, reads x once instead of K times, and its K
        # columns are soon added up: y[t] = Σ_k (x w[k])[t + k·dilation].
        columns = w.swapaxes(0, 2)  # (1,Ci,K)
        products = multiply(x, columns, xp(x).empty((1, B * T, K), np.float32), batch_step=0, row_step=Ci)
        products = products.reshape(B, T, K, 1)
        y = products[:, :To, 0].copy()
        for k in range(1, K):
            y += products[:, k * dilation : k * dilation + To, k]
        return y
    return multiply(x, w, xp(x).empty((B, To, Co), np.float32), **steps(x, stride, dilation))


def correlate_dw(x, dy, K, stride, dilation):
    """x (B,T,Ci), dy (B,To,Co) -> dw (K,Ci,Co), dw[k] = Σ_b Σ_t x[t·stride + k·dilation]ᵀ dy[t]."""
    return multiply_transposed(x, dy, taps=K, P=x.shape[2], **steps(x, stride, dilation))


def spread(x, w, To, stride, dilation):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), y[t·stride + k·dilation] += x[t] w[k]; stride or dilation is 1.

    Seen from the output it is a correlation again: the `stride` frames from q·stride on have met the inputs q, q - 1,
    ..., q - J + 1, J = ceil(K / stride), and are one row of a product,

        y[q·stride : (q + 1)·stride]  =  Σ_j  x[q - j] · w[j·stride : (j + 1)·stride]
    """
    B, T, Ci = x.shape
    K, _, Co = w.shape
    J, Q = -(-K // stride), -(-To // stride)
    margin = (J - 1) * dilation
    windows = padded(x, margin, Q - T, "zero")  # zeros for the frames before the first and after the last
    if K % stride:
        w = xp(w).concatenate([w, xp(w).zeros((J * stride - K, Ci, Co), np.float32)])
    phases = w.reshape(J, stride, Ci, Co)[::-1].swapaxes(1, 2).reshape(J, Ci, stride * Co)
    return correlate(windows, phases, Q, 1, dilation).reshape(B, Q * stride, Co)[:, :To]


def conv1d_forward_cupy(x, w, *, stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co)."""
    (x,) = contiguous(x)
    window = (len(w) - 1) * dilation + 1
    if x.shape[1] < window:
        raise ValueError(f"conv1d: {x.shape[1]} frames are shorter than one window of {window}")
    return correlate(x, w, (x.shape[1] - window) // stride + 1, stride, dilation), (x, w)


def conv1d_backward_cupy(dy, saved, *, stride=1, dilation=1, needs=(True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co)."""
    x, w = saved
    (dy,) = contiguous(dy)
    if stride > 1 and dilation > 1 and needs[0]:  # no codec has such a layer: dy with zeros in between has stride 1
        B, To, Co = dy.shape
        apart = xp(dy).zeros((B, (To - 1) * stride + 1, Co), np.float32)
        apart[:, ::stride] = dy
        dx = spread(apart, w.swapaxes(1, 2), x.shape[1], 1, dilation)
    else:
        dx = spread(dy, w.swapaxes(1, 2), x.shape[1], stride, dilation) if needs[0] else None
    return dx, correlate_dw(x, dy, len(w), stride, dilation) if needs[1] else None


conv1d.add("cupy", conv1d_forward_cupy, conv1d_backward_cupy)
