"""A layer of the decoder in one op: ELU, transposed conv1d, bias, ends trimmed [Defossez22, §3.2].

    y = (conv_transpose1d(elu(x), w) + b)[left : To' - right],   To' = (T - 1)·stride + K

Like `conv1d_layer`, and for the same reason: fewer arrays, each of which would be written to memory and read again.
"""

import numpy as np

from minicodec.backend import Op, xp
from minicodec.ops.activations import elu_backward, elu_forward, elu_forward_numba
from minicodec.ops.arithmetic import column_sums
from minicodec.ops.conv1d import correlate, correlate_dw, padded, spread
from minicodec.ops.conv1d_layer_cuda import conv_transpose1d_layer_backward_cupy, conv_transpose1d_layer_forward_cupy
from minicodec.ops.conv_transpose1d import conv_transpose1d_backward, conv_transpose1d_forward


def conv_transpose1d_layer_forward(x, w, b, *, stride=1, left=0, right=0):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co), To = (T - 1)·stride + K - left - right."""
    a, saved_elu = elu_forward(x)
    z, saved_conv = conv_transpose1d_forward(a, w, stride=stride)
    return z[:, left : z.shape[1] - right] + b, (saved_elu, saved_conv)


def conv_transpose1d_layer_backward(dy, saved, *, stride=1, left=0, right=0):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co): what was trimmed has no gradient, b is not in it."""
    saved_elu, saved_conv = saved
    dz = xp(dy).pad(dy, ((0, 0), (left, right), (0, 0)))
    da, dw = conv_transpose1d_backward(dz, saved_conv, stride=stride)
    (dx,) = elu_backward(da, saved_elu)
    return dx, dw, dy.sum(axis=(0, 1))


conv_transpose1d_layer = Op("conv_transpose1d_layer", conv_transpose1d_layer_forward, conv_transpose1d_layer_backward)


# Numba: the products (ops/engine.py) see to b and ELU's derivative, and leave out what would be trimmed on the right.


def conv_transpose1d_layer_forward_numba(x, w, b, *, stride=1, left=0, right=0):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co), To = (T - 1)·stride + K - left - right."""
    a, _ = elu_forward_numba(x)
    To = (x.shape[1] - 1) * stride + len(w) - right
    y = spread(a, w, To, stride, 1, bias=b)[:, left:]
    return np.ascontiguousarray(y), (a, w)


def conv_transpose1d_layer_backward_numba(dy, saved, *, stride=1, left=0, right=0, needs=(True, True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co)."""
    a, w = saved
    dy = np.ascontiguousarray(dy)
    dx = dw = db = None
    if needs[0] or needs[1]:
        dz = padded(dy, left, right)
    if needs[0]:
        dx = correlate(dz, w.swapaxes(1, 2), a.shape[1], stride, 1, activation="elu", derivative_at=a)
    if needs[1]:
        dw = np.ascontiguousarray(correlate_dw(dz, a, len(w), stride, 1).swapaxes(1, 2))
    if needs[2]:
        db = column_sums(dy.reshape(-1, dy.shape[2]))
    return dx, dw, db


conv_transpose1d_layer.add("numba", conv_transpose1d_layer_forward_numba, conv_transpose1d_layer_backward_numba)
conv_transpose1d_layer.add("cupy", conv_transpose1d_layer_forward_cupy, conv_transpose1d_layer_backward_cupy)
