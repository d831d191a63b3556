"""A layer of the decoder in one op: ELU, transposed conv1d, bias, ends trimmed [Defossez22, §3.2].

    y = (conv_transpose1d(elu(x), w) + b)[left : To' - right],   To' = (T - 1)·stride + K

Like `conv1d_layer`, and for the same reason: fewer arrays, each of which would be written to memory and read again.
"""

from functools import reduce

import numpy as np

from minicodec.backend import Op, xp
from minicodec.ops.activations import elu_backward, elu_forward
from minicodec.ops.arithmetic import column_sums
from minicodec.ops.conv1d import correlate, correlate_dw, padded, parts, spread
from minicodec.ops.conv1d_layer_cuda import conv_transpose1d_layer_backward_cupy, conv_transpose1d_layer_forward_cupy
from minicodec.ops.conv_transpose1d import conv_transpose1d_backward, conv_transpose1d_forward
from minicodec.ops.workers import share_items


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
    x = np.ascontiguousarray(x)
    B, T, _ = x.shape
    To = (T - 1) * stride + len(w) - right
    a, y = np.empty(x.shape, np.float32), np.empty((B, To - left, w.shape[2]), np.float32)
    some = parts(B, a.size + y.size, w)

    def items(first, last):
        for part in some[first:last]:
            padded(x[part], 0, 0, elu=True, out=a[part])
            if left == 0 and To % stride == 0:
                spread(a[part], w, To, stride, 1, bias=b, out=y[part])
            else:
                y[part] = spread(a[part], w, To, stride, 1, bias=b)[:, left:]

    share_items(len(some), items)
    return y, (a, w)


def conv_transpose1d_layer_backward_numba(dy, saved, *, stride=1, left=0, right=0, needs=(True, True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co)."""
    a, w = saved
    dy = np.ascontiguousarray(dy)
    dx = np.empty(a.shape if needs[0] else 0, np.float32)
    some = parts(len(a), a.size + dy.size, w)
    dws, dbs = [None] * len(some), [None] * len(some)

    def items(first, last):
        for i in range(first, last):
            part = some[i]
            if needs[0] or needs[1]:
                dz = padded(dy[part], left, right)
            if needs[0]:
                finish = {"out": dx[part], "activation": "elu", "derivative_at": a[part]}
                correlate(dz, w.swapaxes(1, 2), a.shape[1], stride, 1, **finish)
            if needs[1]:
                dws[i] = correlate_dw(dz, a[part], len(w), stride, 1)
            if needs[2]:
                dbs[i] = column_sums(dy[part].reshape(-1, dy.shape[2]))

    share_items(len(some), items)
    dw = np.ascontiguousarray(reduce(np.add, dws).swapaxes(1, 2)) if needs[1] else None
    return dx if needs[0] else None, dw, reduce(np.add, dbs) if needs[2] else None


conv_transpose1d_layer.add("numba", conv_transpose1d_layer_forward_numba, conv_transpose1d_layer_backward_numba)
conv_transpose1d_layer.add("cupy", conv_transpose1d_layer_forward_cupy, conv_transpose1d_layer_backward_cupy)
