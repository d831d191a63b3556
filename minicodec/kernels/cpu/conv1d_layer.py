"""A layer of the encoder or decoder in one go: ELU, padding, conv1d, bias. Definition: ops/fused.py.

As four ops, they write four arrays as large as a layer's input or output, each too large for the caches, and memory is
slower than arithmetic. In one, ELU is written to where the padded array wants it, and the product adds b while its
sums are in the cache. For the way back the padded array is enough: ELU's derivative follows from its result.
"""

from functools import reduce

import numpy as np

from minicodec.kernels.cpu.activations import elu_grad_from_result_share, run_flat
from minicodec.kernels.cpu.arithmetic import column_sums
from minicodec.kernels.cpu.conv1d import (
    batch_slices,
    conv1d_backward_numba,
    correlate,
    correlate_dw,
    spread,
    zero_padded,
)
from minicodec.ops.conv1d import output_length
from minicodec.ops.fused import conv1d_layer
from minicodec.ops.padding import mirrored
from minicodec.threads import share_items


def conv1d_layer_forward_numba(x, w, b, *, elu=True, left=0, right=0, mode="zero", stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co), b (Co) -> y (B,To,Co)."""
    x, b = np.ascontiguousarray(x), np.ascontiguousarray(b)
    T = x.shape[1]
    images = mirrored(x, left, right) if mode == "reflect" else None
    B, T_padded, To = len(x), left + T + right, output_length(left + T + right, len(w), stride, dilation)
    if To < 1:
        raise ValueError(f"conv1d_layer: {T_padded} frames are shorter than one window of {len(w)}")
    a = np.empty((B, T_padded, x.shape[2]), np.float32) if elu or left or right else x
    y = np.empty((B, To, w.shape[2]), np.float32)
    slices = batch_slices(B, a.size + y.size, w)

    def items(first, last):
        for part in slices[first:last]:
            if a is not x:
                zero_padded(x[part], left, right, elu, out=a[part])
            if images is not None:
                position, source = images
                a[part, position] = a[part, left + source]
            correlate(a[part], w, To, stride, dilation, out=y[part], bias=b)

    share_items(len(slices), items)
    return y, (a, w, T, images)


def conv1d_layer_backward_numba(
    dy, saved, *, elu=True, left=0, right=0, mode="zero", stride=1, dilation=1, needs=(True, True, True)
):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co), db (Co).

    A mirror's image has the derivative of the frame that it shows: so the product multiplies all of the padded array's
    gradient by it, and only then are images added to their frames.
    """
    a, w, T, images = saved
    dy = np.ascontiguousarray(dy)
    B, _, Ci = a.shape
    dx = np.empty((B, T, Ci) if needs[0] else 0, np.float32)
    slices = batch_slices(B, a.size + dy.size, w)
    dws, dbs = [None] * len(slices), [None] * len(slices)

    def items(first, last):
        for i in range(first, last):
            part = slices[i]
            if needs[0]:
                da = gradient_of_padded(dy[part], w, a[part], elu, stride, dilation)
                dx[part] = da[:, left : left + T]
                if images is not None:
                    position, source = images
                    np.add.at(dx[part], (slice(None), source), da[:, position])  # type: ignore[arg-type]
            if needs[1]:
                dws[i] = correlate_dw(a[part], dy[part], len(w), stride, dilation)
            if needs[2]:
                dbs[i] = column_sums(dy[part].reshape(-1, dy.shape[-1]))

    share_items(len(slices), items)
    return dx if needs[0] else None, *(reduce(np.add, sums) if sums[0] is not None else None for sums in (dws, dbs))


def gradient_of_padded(dy, w, a, elu, stride, dilation):
    """dy (B,To,Co) -> the gradient (B,T',Ci) of what was zero_padded, times ELU's derivative if there was one."""
    whole = a.shape[1] % stride == 0 and min(stride, dilation) == 1
    if elu and whole:
        return spread(dy, w.swapaxes(1, 2), a.shape[1], stride, dilation, derivative_at=a)
    da, _ = conv1d_backward_numba(dy, (a, w), stride=stride, dilation=dilation, needs=(True, False))
    return run_flat(elu_grad_from_result_share, da.shape, a, da) if elu else da


conv1d_layer.add("numba", conv1d_layer_forward_numba, conv1d_layer_backward_numba)
