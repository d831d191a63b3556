"""Weight norm for weights that pass from and to memory in every step. Definition: ops/weight_norm.py.

So the direction is not kept but found again, einsum sums products without writing them down, and threads share out
slabs, the entries of the first axis, if that is not `axis`.
"""

import numpy as np

from minicodec.ops.weight_norm import all_but, weight_norm
from minicodec.threads import share_out, threads_for


def weight_norm_forward_numba(v, g, *, axis):
    """v (*v), g (*g) -> w (*v)."""
    all_but(v, g, axis)
    length = np.sqrt(dot(v, v, g, axis))
    w, scale = np.empty(v.shape, np.float32), g / length
    (v_slabs, w_slabs), s = slabs(axis, v, w), slabs(axis, scale)[0][0]

    def share(first, last):
        for i in range(first, last):
            np.multiply(v_slabs[i], s, out=w_slabs[i])

    share_out(threads_for(v.size), len(v_slabs), share)
    return w, (v, length, g)


def weight_norm_backward_numba(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g)."""
    v, length, g = saved
    dg = dot(dw, v, g, axis) / length
    dv = np.empty(v.shape, np.float32)
    dw_slabs, v_slabs, dv_slabs = slabs(axis, dw, v, dv)
    scale, along = (a[0] for a in slabs(axis, g / length, g / length * dg / length))

    def share(first, last):
        for i in range(first, last):
            np.multiply(v_slabs[i], -along, out=dv_slabs[i])
            dv_slabs[i] += dw_slabs[i] * scale

    share_out(threads_for(v.size), len(v_slabs), share)
    return dv, dg


def slabs(axis, *arrays):
    """The arrays (n,...) as they are, threads take entries of n; if n is `axis`, as a single slab (1,n,...)."""
    return [a if axis % a.ndim else a[None] for a in arrays]


def dot(a, b, g, axis):
    """a, b (*v) -> (*g), sums of a·b over all axes but `axis`: of each slab first, whatever the threads."""
    a, b = slabs(axis, a, b)
    axes = list(range(a.ndim - 1))
    kept = [max(0, axis % g.ndim - 1)]
    sums = np.empty((len(a), g.size), np.float32)

    def share(first, last):
        for i in range(first, last):
            np.einsum(a[i], axes, b[i], axes, kept, out=sums[i])

    share_out(threads_for(a.size), len(a), share)
    return sums.sum(axis=0).reshape(g.shape)


weight_norm.add("numba", weight_norm_forward_numba, weight_norm_backward_numba)
