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
# products without writing them down, and threads share out slabs, the entries of the first axis, if that is not `axis`.

SMALL = 65536  # numbers: with fewer, waking another thread takes longer than the work


def weight_norm_forward_fast(v, g, *, axis):
    """v (*v), g (*g) -> w (*v)."""
    all_but(v, g, axis)
    length = np.sqrt(dot(v, v, g, axis))
    w, scale = np.empty(v.shape, np.float32), g / length
    (v_slabs, w_slabs), s = slabs(axis, v, w), slabs(axis, scale)[0][0]

    def some(first, last):
        for i in range(first, last):
            np.multiply(v_slabs[i], s, out=w_slabs[i])

    share_out(threads_for(v), len(v_slabs), some)
    return w, (v, length, g)


def weight_norm_backward_fast(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g)."""
    v, length, g = saved
    dg = dot(dw, v, g, axis) / length
    dv = np.empty(v.shape, np.float32)
    dw_slabs, v_slabs, dv_slabs = slabs(axis, dw, v, dv)
    scale, along = (a[0] for a in slabs(axis, g / length, g / length * dg / length))

    def some(first, last):
        for i in range(first, last):
            np.multiply(v_slabs[i], -along, out=dv_slabs[i])
            dv_slabs[i] += dw_slabs[i] * scale

    share_out(threads_for(v), len(v_slabs), some)
    return dv, dg


def slabs(axis, *arrays):
    """The arrays (n,...) as they are, threads take entries of n; if n is `axis`, as a single slab (1,n,...)."""
    return [a if axis % a.ndim else a[None] for a in arrays]


def threads_for(v):
    """How many threads so many numbers are worth."""
    return numba.get_num_threads() if v.size >= SMALL else 1


def dot(a, b, g, axis):
    """a, b (*v) -> (*g), sums of a·b over all axes but `axis`: of each slab first, whatever the threads."""
    a, b = slabs(axis, a, b)
    axes = list(range(a.ndim - 1))
    kept = [max(0, axis % g.ndim - 1)]
    sums = np.empty((len(a), g.size), np.float32)

    def some(first, last):
        for i in range(first, last):
            np.einsum(a[i], axes, b[i], axes, kept, out=sums[i])

    share_out(threads_for(a), len(a), some)
    return sums.sum(axis=0).reshape(g.shape)


weight_norm.add("numba", weight_norm_forward_fast, weight_norm_backward_fast)
