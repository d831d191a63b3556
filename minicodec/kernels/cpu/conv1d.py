"""The fast convolution: one matrix product over overlapping rows. Definition: ops/conv1d.py.

With channels last, a window of K frames is K·Ci numbers that lie one after the other, so a convolution is one product
whose rows overlap, and so are both ways back [kernels/cpu/engine/products.py]. Chapter 17 of the course climbs here
from three plain loops, one measured step at a time.
"""

import math
from typing import Any

import numpy as np

from minicodec.kernels.cpu.activations import elu_share
from minicodec.kernels.cpu.engine.products import multiply, multiply_transposed
from minicodec.ops.conv1d import conv1d, conv1d_backward, output_length
from minicodec.threads import share_out, threads_for


def conv1d_forward_numba(x, w, *, stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), the same bits however x is cut into chunks."""
    x = np.ascontiguousarray(x)
    To = output_length(x.shape[1], len(w), stride, dilation)
    if To < 1:
        raise ValueError(f"conv1d: {x.shape[1]} frames are shorter than one window of {(len(w) - 1) * dilation + 1}")
    return correlate(x, w, To, stride, dilation), (x, w)


def conv1d_backward_numba(dy, saved, *, stride=1, dilation=1, needs=(True, True)):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co)."""
    if stride > 1 and dilation > 1:  # no codec has such a layer
        return conv1d_backward(dy, saved, stride=stride, dilation=dilation)
    x, w = saved
    dy = np.ascontiguousarray(dy)
    dx = spread(dy, w.swapaxes(1, 2), x.shape[1], stride, dilation) if needs[0] else None
    return dx, correlate_dw(x, dy, len(w), stride, dilation) if needs[1] else None


def steps(x, stride, dilation):
    """Where the windows of x (B,T,C) lie and where in a window its frames, for the engine."""
    _, T, C = x.shape
    return {"batch_step": T * C, "row_step": stride * C, "tap_step": dilation * C}


def batch_slices(B, numbers, w):
    """A batch, whose inputs and outputs are so many numbers, in the slices that a layer had better work on in turn.

    Items one by one: what one product has written or read, the next finds in the third-level cache, and threads can
    take an item each (`share_items`). But if weights are not small beside an item, they had better be read only once.
    """
    one_by_one = numbers // B >= 4 * w.size
    return [slice(b, b + 1) for b in range(B)] if one_by_one else [slice(0, B)]


def zero_padded(x, left, right, elu=False, out=None):
    """x (B,T,C) -> (B,left + T + right,C), in `out` if that is given: x or elu(x) with zeros around it."""
    B, T, C = x.shape
    y = np.empty((B, left + T + right, C), np.float32) if out is None else out
    y[:, :left] = 0
    y[:, left + T :] = 0

    def share(first, last):
        """Of all numbers of x, one item after the other."""
        for b in range(B):
            item, inside = x[b].reshape(-1), y[b, left : left + T].reshape(-1)
            begin, end = max(0, first - b * T * C), min(T * C, last - b * T * C)
            if begin >= end:
                continue
            if elu:
                elu_share(begin, end, item, inside)
            else:
                inside[begin:end] = item[begin:end]

    share_out(threads_for(x.size), x.size, share)
    return y


def correlate(x, w, To, stride, dilation, out=None, **finish):
    """x (B,T,Ci), w (K,Ci,*Co) -> y (B,To,N), N = ΠCo, y[t] = Σ_k x[t·stride + k·dilation] w[k]; in `out`, if given.

    `finish`: what else `multiply` is to do with its outputs.
    """
    B, T, Ci = x.shape
    K, N = len(w), math.prod(w.shape[2:])
    y = np.empty((B, To, N), np.float32) if out is None else out
    if few_columns(K, N, stride) and finish.keys() <= {"bias"}:
        # So few columns leave most of a vector idle. Let every tap be a column, y[t] = Σ_k (x w[k])[t + k·dilation].
        columns = w.reshape(K, Ci, N).swapaxes(0, 1).reshape(1, Ci, K * N)
        products = multiply(x, columns, np.empty((B, T, K * N), np.float32), **steps(x, 1, 1)).reshape(B, T, K, N)
        y[...] = products[:, :To, 0]
        for k in range(1, K):
            y += products[:, k * dilation : k * dilation + To, k]
        if "bias" in finish:
            y += finish["bias"]
        return y
    return multiply(x, w, y, **steps(x, stride, dilation), **finish)


def few_columns(K, N, stride):
    """Would windows of one or two channels to come leave most of a vector idle, and would K times as many fit it?"""
    return N <= 2 and stride == 1 and 1 < K * N <= 16


def correlate_dw(x, dy, K, stride, dilation):
    """x (B,T,Ci), dy (B,To,Co) -> dw (K,Ci,Co), dw[k] = Σ_b Σ_t x[t·stride + k·dilation]ᵀ dy[t]."""
    (B, T, Ci), (_, To, Co) = x.shape, dy.shape
    if few_columns(K, Co, stride):  # as in `correlate`: dw[k] = Σ_t x[t]ᵀ dy[t - k·dilation]
        columns = np.zeros((B, T, K, Co), np.float32)
        for k in range(K):
            columns[:, k * dilation : k * dilation + To, k] = dy
        dw = multiply_transposed(x, columns.reshape(B, T, K * Co), taps=1, P=Ci, **steps(x, 1, 1))
        return np.ascontiguousarray(dw.reshape(Ci, K, Co).swapaxes(0, 1))
    return multiply_transposed(x, dy, taps=K, P=x.shape[2], **steps(x, stride, dilation))


def spread(x, w, To, stride, dilation, bias=None, derivative_at=None, out=None):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), y[t·stride + k·dilation] += x[t] w[k]: the transpose of `correlate`.

    In `out`, if that is given, and To a multiple of the stride. Then + bias (Co); then times the derivative of ELU
    where its result was `derivative_at`, an array like y, To a multiple of the stride here, too.

    Seen from the output it is a correlation again. Frame q·stride + r has met the inputs q, q - 1, ..., q - J + 1,
    J = ceil(K / stride), through the taps r, r + stride, ...: so a window of J frames makes `stride` frames at once,

        y[q·stride : (q + 1)·stride]  =  Σ_j  x[q - j] · w[j·stride : (j + 1)·stride]

    and the product's rows, stride·Co numbers, are y itself. K = 2·stride makes it a product over pairs of frames.
    """
    B, T, Ci = x.shape
    K, _, Co = w.shape
    J, Q = -(-K // stride), -(-To // stride)
    margin = (J - 1) * dilation
    if T > Q:  # the last frames write only to what is not wanted
        x, T = np.ascontiguousarray(x[:, :Q]), Q
    windows = x
    if margin or Q > T:  # zeros stand for the frames before the first and after the last
        windows = zero_padded(x, margin, Q - T)
    if K % stride:
        w = np.concatenate([w, np.zeros((J * stride - K, Ci, Co), np.float32)])
    phases = w.reshape(J, stride, Ci, Co)[::-1].swapaxes(1, 2)
    finish: dict[str, Any] = {}
    if bias is not None:
        finish["bias"] = np.tile(bias, stride)
    if derivative_at is not None:
        finish |= {"activation": "elu", "derivative_at": derivative_at.reshape(B, Q, stride * Co)}
    if out is not None and Q * stride == To:
        finish["out"] = out.reshape(B, Q, stride * Co)
    return correlate(windows, phases, Q, 1, dilation, **finish).reshape(B, Q * stride, Co)[:, :To]


conv1d.add("numba", conv1d_forward_numba, conv1d_backward_numba)
