"""Softmax and cross-entropy, row by row. Definitions: ops/softmax_cross_entropy.py.

A row of V numbers stays in the cache between the passes over it, where NumPy sends all rows through memory for each.
Every row is summed in float64 from left to right, so threads change no bit.
"""

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.kernels.cpu.engine.fastmath import exp32
from minicodec.ops.softmax_cross_entropy import (
    check_targets,
    softmax,
    softmax_cross_entropy,
)
from minicodec.threads import share_out, threads_for


@compiled
def softmax_rows(first, last, x, y, tops, logs):
    """Rows first ... last - 1: x (n,V) -> y (n,V) = softmax(x), tops (n) = max x, logs (n) = ln Σ exp(x - top)."""
    for i in range(first, last):
        row, out = x[i], y[i]
        top = row[0]
        for v in range(row.size):
            top = row[v] if row[v] > top else top
        for v in range(row.size):
            out[v] = exp32(row[v] - top)
        total = 0.0
        for v in range(row.size):
            total += out[v]
        scale = np.float32(1 / total)
        for v in range(row.size):
            out[v] *= scale
        tops[i], logs[i] = top, np.log(total)


@compiled
def softmax_grad_rows(first, last, y, dy, dx):
    """y, dy (n,V) -> dx (n,V)."""
    for i in range(first, last):
        row, d_row, out = y[i], dy[i], dx[i]
        mean = 0.0
        for v in range(row.size):
            mean += row[v] * d_row[v]
        mean32 = np.float32(mean)
        for v in range(row.size):
            out[v] = row[v] * (d_row[v] - mean32)


@compiled
def cross_entropy_grad_rows(first, last, p, targets, dy, dx):
    """p (n,V), targets (n), dy (n) -> dx (n,V)."""
    for i in range(first, last):
        row, out = p[i], dx[i]
        for v in range(row.size):
            out[v] = dy[i] * row[v]
        out[targets[i]] -= dy[i]


def rows(a, axes):
    """An array without its last `axes` axes flattened: (*b,V) -> (n,V) for 1, (*b) -> (n) for 0; contiguous."""
    return np.ascontiguousarray(a).reshape(-1, *a.shape[a.ndim - axes :])


def run_rows(kernel, size, *arrays):
    """Run a kernel on all rows, on several threads if that is worth it."""
    share_out(threads_for(size), len(arrays[0]), kernel, *arrays)


def softmax_of_rows(x):
    """x (*b,V) -> y (n,V), tops (n), logs (n) as in `softmax_rows`."""
    x = rows(x, 1)
    y, tops, logs = np.empty_like(x), np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    run_rows(softmax_rows, x.size, x, y, tops, logs)
    return y, tops, logs


def softmax_forward_numba(x):
    """x (*b,V) -> y (*b,V)."""
    y = softmax_of_rows(x)[0].reshape(x.shape)
    return y, y


def softmax_backward_numba(dy, saved):
    """dy (*b,V) -> dx (*b,V)."""
    dx = np.empty(dy.shape, np.float32)
    run_rows(softmax_grad_rows, dy.size, rows(saved, 1), rows(dy, 1), rows(dx, 1))
    return (dx,)


def softmax_cross_entropy_forward_numba(logits, targets):
    """logits (*b,V), targets (*b) -> losses (*b)."""
    check_targets(targets, logits.shape[-1])
    p, tops, logs = softmax_of_rows(logits)
    hits = rows(logits, 1)[np.arange(len(logs)), rows(targets, 0)]
    return (logs - (hits - tops)).reshape(logits.shape[:-1]), (p.reshape(logits.shape), targets)


def softmax_cross_entropy_backward_numba(dy, saved):
    """dy (*b) -> dlogits (*b,V); None for the targets."""
    p, targets = saved
    dx = np.empty(p.shape, np.float32)
    run_rows(cross_entropy_grad_rows, dx.size, rows(p, 1), rows(targets, 0), rows(dy, 0), rows(dx, 1))
    return dx, None


softmax.add("numba", softmax_forward_numba, softmax_backward_numba)
softmax_cross_entropy.add("numba", softmax_cross_entropy_forward_numba, softmax_cross_entropy_backward_numba)
