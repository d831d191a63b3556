"""A residual unit of the encoder or decoder in one go. Definition: ops/fused.py.

Such a unit computes little with each number and reads or writes some forty arrays, forward and backward, each as large
as its input, megabytes. In one op there are thirty: the second product is added to the first where that lies, ELU
happens while sums are in the cache, the gradient of y is summed once for two biases. And the items of a batch can go
through all of it one by one, or several threads with one item each: what one step has written, the next finds in the
third-level cache.
"""

from functools import reduce

import numpy as np

from minicodec.kernels.cpu.activations import elu_share
from minicodec.kernels.cpu.arithmetic import column_sums
from minicodec.kernels.cpu.conv1d import correlate_dw, steps, zero_padded
from minicodec.kernels.cpu.engine.products import multiply, pack
from minicodec.ops.fused import (
    residual_unit,
)
from minicodec.ops.padding import mirrored
from minicodec.threads import share_items, share_out, threads_for


def residual_unit_forward_numba(x, w1, b1, w2, b2, ws, bs, *, left, right, mode="zero", dilation=1):
    """x (B,T,C), w1 (K,C,H), b1 (H), w2 (1,H,C), b2 (C), ws (1,C,C), bs (C) -> y (B,T,C); left + right = K - 1 taps."""
    if left + right != (len(w1) - 1) * dilation:
        raise ValueError(f"residual_unit: {left} + {right} frames of padding do not keep the length, K = {len(w1)}")
    x, b1, bias = np.ascontiguousarray(x), np.ascontiguousarray(b1), b2 + bs
    (B, T, C), H = x.shape, w1.shape[2]
    images = mirrored(x, left, right) if mode == "reflect" else None
    first, second, shortcut = pack(w1), pack(w2), pack(ws)
    a = np.empty((B, left + T + right, C), np.float32)
    h, y = np.empty((B, T, H), np.float32), np.empty((B, T, C), np.float32)

    def items(first_item, last_item):
        for b in range(first_item, last_item):
            x_b, a_b, h_b, y_b = (array[b : b + 1] for array in (x, a, h, y))
            a_b[:, :left], a_b[:, left + T :] = 0, 0
            share_out(threads_for(T * C), T * C, elu_share, x_b.reshape(-1), a_b[:, left : left + T].reshape(-1))
            if images is not None:
                position, source = images
                a_b[:, position] = a_b[:, left + source]
            multiply(a_b, first, h_b, **steps(a_b, 1, dilation), bias=b1, activation="elu")
            multiply(x_b, shortcut, y_b, **steps(x_b, 1, 1), also=(h_b, second), bias=bias)

    share_items(B, items)
    return y, (x, a, h, w1, w2, ws, images)


def residual_unit_backward_numba(dy, saved, *, left, right, mode="zero", dilation=1, needs=(True,) * 7):
    """dy (B,T,C) -> dx (B,T,C), dw1 (K,C,H), db1 (H), dw2 (1,H,C), db2 (C), dws (1,C,C), dbs (C).

    A mirror's image has the derivative of the frame that it shows, and is added to it after that.
    """
    x, a, h, w1, w2, ws, images = saved
    dy = np.ascontiguousarray(dy)
    (B, T, _), (K, _, H) = x.shape, w1.shape
    dx = np.empty(x.shape if needs[0] else 0, np.float32)
    second = pack(w2.swapaxes(1, 2)) if any(needs[:3]) else None
    first, shortcut = (pack(w1[::-1].swapaxes(1, 2)), pack(ws.swapaxes(1, 2))) if needs[0] else (None, None)
    sums = [[None] * 5] * B  # for each item, of w1, b1, w2, the biases b2 and bs, ws

    def items(first_item, last_item):
        for b in range(first_item, last_item):
            x_b, a_b, h_b, dy_b = (array[b : b + 1] for array in (x, a, h, dy))
            dw1 = db1 = None
            if any(needs[:3]):
                dz = np.empty((1, T, H), np.float32)
                multiply(dy_b, second, dz, **steps(dy_b, 1, 1), activation="elu", derivative_at=h_b)
                dw1 = correlate_dw(a_b, dz, K, 1, dilation) if needs[1] else None
                db1 = column_sums(dz[0]) if needs[2] else None
            dw2 = correlate_dw(h_b, dy_b, 1, 1, 1) if needs[3] else None
            db2 = column_sums(dy_b[0]) if needs[4] or needs[6] else None
            dws = correlate_dw(x_b, dy_b, 1, 1, 1) if needs[5] else None
            if needs[0]:
                margin, dx_b = (K - 1) * dilation, dx[b : b + 1]
                windows = zero_padded(dz, margin, margin) if margin else dz
                da = np.empty(a_b.shape, np.float32)
                multiply(windows, first, da, **steps(windows, 1, dilation), activation="elu", derivative_at=a_b)
                multiply(dy_b, shortcut, dx_b, **steps(dy_b, 1, 1))
                dx_b += da[:, left : left + T]
                if images is not None:
                    position, source = images
                    np.add.at(dx_b[0], source, da[0, position])
            sums[b] = [dw1, db1, dw2, db2, dws]

    share_items(B, items)
    dw1, db1, dw2, db2, dws = (None if some[0] is None else reduce(np.add, some) for some in zip(*sums, strict=True))
    db2, dbs = db2 if needs[4] else None, np.array(db2) if needs[6] else None
    return dx if needs[0] else None, dw1, db1, dw2, db2, dws, dbs


residual_unit.add("numba", residual_unit_forward_numba, residual_unit_backward_numba)
