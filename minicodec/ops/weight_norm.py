"""Weight normalisation [Salimans16, "Weight Normalization", eq. 2]: a weight's length and direction, learnt apart.

    w = g · v / ‖v‖

with one length g for each entry of `axis`, and the norm over all other axes. In EnCodec's checkpoints that axis is the
first of PyTorch's weights. In our layout, a conv weight (K,Ci,Co) has axis 2, its output channels, and a transposed
conv weight (K,Ci,Co) has axis 1: PyTorch keeps the input channels of that one in front.
"""

import numba
import numpy as np

from minicodec.backend import Op, xp
from minicodec.ops.weight_norm_cuda import weight_norm_backward_cupy, weight_norm_forward_cupy
from minicodec.ops.workers import share_out


def all_but(v, g, axis):
    """The axes of v that are summed over. ValueError: g has not the shape of v with 1 everywhere but at `axis`."""
    others = tuple(i for i in range(v.ndim) if i != axis % v.ndim)
    if g.shape != tuple(1 if i in others else n for i, n in enumerate(v.shape)):
        raise ValueError(f"weight_norm: g has shape {g.shape}, which does not fit v {v.shape} and axis {axis}")
    return others


def weight_norm_forward(v, g, *, axis):
    """v (*v), g (*g) -> w (*v); g has the shape of v with 1 everywhere but at `axis`."""
    others = all_but(v, g, axis)
    length = xp(v).sqrt((v * v).sum(axis=others, keepdims=True))
    direction = v / length
    return g * direction, (direction, length, g, others)


def weight_norm_backward(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g).

    The length g moves w along its direction. Moving v along its own direction changes nothing, so that part of dw
    is taken out; what is left turns w by less, the longer v is.
    """
    direction, length, g, others = saved
    dg = (dw * direction).sum(axis=others, keepdims=True)
    return g / length * (dw - dg * direction), dg


weight_norm = Op("weight_norm", weight_norm_forward, weight_norm_backward)
weight_norm.add("cupy", weight_norm_forward_cupy, weight_norm_backward_cupy)


# For float32. Weights pass from and to memory in every step: so the direction is not kept but found again, einsum sums
# products without writing them down, and threads share out the entries of `axis`.

SMALL = 65536  # numbers: with fewer, waking another thread takes longer than the work


def weight_norm_forward_fast(v, g, *, axis):
    """v (*v), g (*g) -> w (*v)."""
    all_but(v, g, axis)
    w, length = np.empty(v.shape, np.float32), np.empty(g.shape, np.float32)

    def some(first, last):
        v_, g_, w_, length_ = (part(a, axis, first, last) for a in (v, g, w, length))
        length_[...] = np.sqrt(dot(v_, v_, g_, axis))
        np.multiply(v_, g_ / length_, out=w_)

    share_out(numba.get_num_threads() if v.size >= SMALL else 1, g.size, some)
    return w, (v, length, g)


def weight_norm_backward_fast(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g)."""
    v, length, g = saved
    dv, dg = np.empty(v.shape, np.float32), np.empty(g.shape, np.float32)

    def some(first, last):
        dw_, v_, length_, g_, dv_, dg_ = (part(a, axis, first, last) for a in (dw, v, length, g, dv, dg))
        dg_[...] = dot(dw_, v_, g_, axis) / length_
        np.multiply(dw_, g_ / length_, out=dv_)
        dv_ -= v_ * (g_ / length_ * dg_ / length_)

    share_out(numba.get_num_threads() if v.size >= SMALL else 1, g.size, some)
    return dv, dg


def part(a, axis, first, last):
    """Entries first ... last - 1 of an axis, a view."""
    return a[(slice(None),) * (axis % a.ndim) + (slice(first, last),)]


def dot(a, b, g, axis):
    """a, b (*v) -> (*g), the sums of a·b over all axes but `axis`."""
    axes = list(range(a.ndim))
    return np.einsum(a, axes, b, axes, [axes[axis]]).reshape(g.shape)


weight_norm.add("numba", weight_norm_forward_fast, weight_norm_backward_fast)
