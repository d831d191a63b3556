"""The functions of ops/exact.py in Numba: the same operations on the same numbers in the same order: the same bits.

No flag allows LLVM to reorder sums or to fuse · and + (`fastmath`, `contract`), so it does neither; it is free to work
on several outputs at once, and does. Four terms of a sum are added in one pass over the outputs, one after the other:
that spares three of four loads and stores. Nothing here uses threads: callers share out whole sequences.
"""

import math

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled, definitions, inner
from minicodec.ops import exact
from minicodec.ops.exact import EPS, FACTOR_BITS, SHARE_BITS, TOTAL

definitions(exact.exp, exact.gelu)  # compiled code calls these two as they are, with one number


@inner
def _fold(x, n):
    """Σ of the first n numbers of x, which is overwritten."""
    while n > 1:
        half = (n + 1) // 2
        for i in range(n - half):
            x[i] += x[half + i]
        n = half
    return x[0]


@inner
def _add_product(y, x, w):
    """Y (N) += x (K) w, k ascending; of w the first K rows and N columns."""
    K, N = len(x), len(y)
    whole = K - K % 4
    for k in range(0, whole, 4):
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for n in range(N):
            y[n] = (((y[n] + x0 * w[k, n]) + x1 * w[k + 1, n]) + x2 * w[k + 2, n]) + x3 * w[k + 3, n]
    for k in range(whole, K):
        for n in range(N):
            y[n] += x[k] * w[k, n]


def gelu(x):
    """As exact.gelu, of x (R,C)."""
    y = np.empty_like(x)
    _gelu(x, y)
    return y


@compiled
def _gelu(x, y):
    for r in range(len(x)):
        for i in range(x.shape[1]):
            y[r, i] = exact.gelu(x[r, i])


def linear(x, w, bias):
    """As exact.linear."""
    y = np.empty((len(x), w.shape[1]), np.float32)
    _linear(x, w, bias, y)
    return y


@compiled
def _linear(x, w, bias, y):
    for r in range(len(x)):
        for n in range(w.shape[1]):
            y[r, n] = bias[n]
        _add_product(y[r], x[r], w)


def layer_norm(x, weight, bias):
    """As exact.layer_norm."""
    y = np.empty(x.shape, np.float32)
    _layer_norm(x, weight, bias, y, np.empty(x.shape[1], np.float32))
    return y


@compiled
def _layer_norm(x, weight, bias, y, scratch):
    R, D = x.shape
    share = np.float32(1 / D)
    for r in range(R):
        for i in range(D):
            scratch[i] = x[r, i]
        mean = _fold(scratch, D) * share
        for i in range(D):
            y[r, i] = x[r, i] - mean
            scratch[i] = y[r, i] * y[r, i]
        root = np.sqrt(_fold(scratch, D) * share + EPS)
        for i in range(D):
            y[r, i] = y[r, i] / root * weight[i] + bias[i]


def attend(qkv, keys, values, first):
    """As exact.attend."""
    B, T, _ = qkv.shape
    _, heads, d, W = keys.shape
    y = np.empty((B, T, heads, d), np.float32)
    scale = np.float32(1 / math.sqrt(d))
    _attend(qkv.reshape(B, T, 3, heads, d), keys, values, first, scale, y, np.empty(W, np.float32))
    return y.reshape(B, T, heads * d)


@compiled
def _attend(parts, keys, values, first, scale, y, weights):
    B, T, heads, d = y.shape
    W = len(weights)
    for b in range(B):
        for t in range(T):
            slot, n = (first + t) % W, min(first + t + 1, W)
            for h in range(heads):
                for i in range(d):
                    keys[b, h, i, slot] = parts[b, t, 1, h, i]
                    values[b, h, slot, i] = parts[b, t, 2, h, i]
                    y[b, t, h, i] = 0
                scores = weights[:n]
                for j in range(n):
                    scores[j] = 0
                _add_product(scores, parts[b, t, 0, h], keys[b, h])
                highest = scores[0] * scale
                for j in range(n):
                    scores[j] *= scale
                    highest = max(highest, scores[j])
                for j in range(n):
                    scores[j] = exact.exp(scores[j] - highest)
                _add_product(y[b, t, h], scores, values[b, h])
                total = _fold(scores, n)
                for i in range(d):
                    y[b, t, h, i] /= total


def cumulative_counts(logits):
    """As exact.cumulative_counts."""
    R, V = logits.shape
    cumulative = np.zeros((R, V + 1), np.int64)
    _cumulative_counts(logits, cumulative, np.empty(V, np.int64))
    return cumulative


@compiled
def _cumulative_counts(logits, cumulative, shares):
    R, V = logits.shape
    for r in range(R):
        highest, total = logits[r, 0], 0
        for v in range(V):
            highest = max(highest, logits[r, v])
        for v in range(V):
            shares[v] = np.int64(exact.exp(logits[r, v] - highest) * np.float32(1 << SHARE_BITS))
            total += shares[v]
        factor = ((TOTAL - V) << FACTOR_BITS) // total
        for v in range(V):
            cumulative[r, v + 1] = cumulative[r, v] + 1 + (shares[v] * factor >> FACTOR_BITS)
