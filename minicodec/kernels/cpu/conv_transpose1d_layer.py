"""A layer of the decoder in one go: ELU, transposed conv1d, bias, ends trimmed. Definition: ops/fused.py.

The products see to b and to ELU's derivative, and leave out what would be trimmed on the right.
"""

from functools import reduce

import numpy as np

from minicodec.kernels.cpu.arithmetic import column_sums
from minicodec.kernels.cpu.conv1d import batch_slices, correlate, correlate_dw, spread, zero_padded
from minicodec.ops.fused import check_trimming, conv_transpose1d_layer
from minicodec.threads import share_items


def conv_transpose1d_layer_forward_numba(x, w, b, *, stride=1, left=0, right=0):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co), To = (T - 1)·stride + K - left - right."""
    x = np.ascontiguousarray(x)
    B, T, _ = x.shape
    check_trimming(T, len(w), stride, left, right)
    To = (T - 1) * stride + len(w) - right
    a, y = np.empty(x.shape, np.float32), np.empty((B, To - left, w.shape[2]), np.float32)
    slices = batch_slices(B, a.size + y.size, w)

    def items(first, last):
        for part in slices[first:last]:
            zero_padded(x[part], 0, 0, elu=True, out=a[part])
            if left == 0 and To % stride == 0:
                spread(a[part], w, To, stride, 1, bias=b, out=y[part])
            else:
                y[part] = spread(a[part], w, To, stride, 1, bias=b)[:, left:]

    share_items(len(slices), items)
    return y, (a, w)


def conv_transpose1d_layer_backward_numba(dy, saved, *, stride=1, left=0, right=0, needs=(True, True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co)."""
    a, w = saved
    dy = np.ascontiguousarray(dy)
    dx = np.empty(a.shape if needs[0] else 0, np.float32)
    slices = batch_slices(len(a), a.size + dy.size, w)
    dws, dbs = [None] * len(slices), [None] * len(slices)

    def items(first, last):
        for i in range(first, last):
            part = slices[i]
            if needs[0] or needs[1]:
                dz = zero_padded(dy[part], left, right)
            if needs[0]:
                finish = {"out": dx[part], "activation": "elu", "derivative_at": a[part]}
                correlate(dz, w.swapaxes(1, 2), a.shape[1], stride, 1, **finish)
            if needs[1]:
                dws[i] = correlate_dw(dz, a[part], len(w), stride, 1)
            if needs[2]:
                dbs[i] = column_sums(dy[part].reshape(-1, dy.shape[2]))

    share_items(len(slices), items)
    dw = np.ascontiguousarray(reduce(np.add, dws).swapaxes(1, 2)) if needs[1] else None
    return dx if needs[0] else None, dw, reduce(np.add, dbs) if needs[2] else None


conv_transpose1d_layer.add("numba", conv_transpose1d_layer_forward_numba, conv_transpose1d_layer_backward_numba)
