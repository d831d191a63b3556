"""A layer of the discriminator in one go: conv2d, bias, LeakyReLU. Definition: ops/fused.py.

The product itself adds b and applies LeakyReLU, while its sums are in the cache: two passes over memory less. And three
ops would leave three arrays in the graph until the backward has passed. But a LeakyReLU keeps the sign of its input
(slope >= 0), and its derivative, 1 or slope, depends on nothing else: y is enough to go back. Feature maps are what
fills the memory of a discriminator's step, so this takes a third off it.
"""

import numpy as np

from minicodec.kernels.cpu.activations import leaky_relu_backward_numba
from minicodec.kernels.cpu.arithmetic import column_sums
from minicodec.kernels.cpu.conv2d import backward_item_by_item, fits_a_line, item_by_item
from minicodec.ops.conv2d import conv2d_backward
from minicodec.ops.fused import conv2d_leaky_relu, conv2d_leaky_relu_forward


def conv2d_leaky_relu_forward_numba(x, w, b, *, slope=0.2, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co), b (Co) -> y (B,To,Fo,Co)."""
    attrs = {"stride": stride, "dilation": dilation, "padding": padding}
    if not fits_a_line(w, **attrs):
        return conv2d_leaky_relu_forward(x, w, b, slope=slope, **attrs)
    y = item_by_item(x, w, **attrs, bias=b, activation="leaky_relu", slope=slope)
    return y, ((x, w), y)


def conv2d_leaky_relu_backward_numba(
    dy, saved, *, slope=0.2, stride=(1, 1), dilation=(1, 1), padding=(0, 0), needs=(True, True, True)
):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co), db (Co)."""
    saved, y = saved
    if not fits_a_line(saved[1], stride, dilation, padding):
        (dz,) = leaky_relu_backward_numba(dy, y, slope=slope)
        dx, dw = conv2d_backward(dz, saved, stride=stride, dilation=dilation, padding=padding)
        return dx, dw, column_sums(dz.reshape(-1, dz.shape[-1]))
    dbs = np.empty((len(dy), dy.shape[-1]), np.float32)

    def dz_of(b):
        (dz,) = leaky_relu_backward_numba(dy[b], y[b], slope=slope)
        if needs[2]:
            dbs[b] = column_sums(dz.reshape(-1, dz.shape[-1]))
        return dz

    dx, dw = backward_item_by_item(dz_of, saved, dy.shape, stride, dilation, padding, needs)
    return dx, dw, dbs.sum(axis=0) if needs[2] else None


conv2d_leaky_relu.add("numba", conv2d_leaky_relu_forward_numba, conv2d_leaky_relu_backward_numba)
