"""Group norm in two passes over memory: one for the sums, one for the result. Definition: ops/norm.py.

Everything between is per channel and in float64, in which the sums over many frames, and the variance as
mean(x²) - mean(x)², lose nothing that matters.
"""

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.ops.norm import (
    group_norm,
)


@compiled
def add_channel_sums(u, v, sums, products):
    """u, v (B,T,C) -> Σ_t u (B,C), Σ_t u·v (B,C), in float64, which come as zeros."""
    B, T, C = u.shape
    for b in range(B):
        for t in range(T):
            for c in range(C):
                value = np.float64(u[b, t, c])
                sums[b, c] += value
                products[b, c] += value * np.float64(v[b, t, c])


@compiled
def combine_into(p, u, q, v, m, r, out):
    """u, v (B,T,C), the rest (B,C) -> out (B,T,C), p·u + q·(v - m) + r."""
    B, T, C = u.shape
    for b in range(B):
        for t in range(T):
            for c in range(C):
                out[b, t, c] = p[b, c] * u[b, t, c] + q[b, c] * (v[b, t, c] - m[b, c]) + r[b, c]


def channel_sums(u, v):
    """u, v (B,T,C) -> Σ_t u (B,C), Σ_t u·v (B,C), in float64."""
    B, _, C = u.shape
    sums, products = np.zeros((2, B, C))
    add_channel_sums(u, v, sums, products)
    return sums, products


def combine(p, u, q, v, m, r):
    """u, v (B,T,C), the rest (B,C) -> p·u + q·(v - m) + r (B,T,C)."""
    out = np.empty(u.shape, np.float32)
    combine_into(p, u, q, v, m, r, out)
    return out


def group_means(sums, groups, T):
    """Sums (B,C) over T frames -> means over each group, (B,C): every channel is told its group's."""
    B, C = sums.shape
    means = sums.reshape(B, groups, C // groups).sum(axis=2) / (T * C // groups)
    return np.repeat(means, C // groups, axis=1)


def single(*arrays):
    """The arrays in float32, all of the shape of the first."""
    return [np.broadcast_to(a, arrays[0].shape).astype(np.float32) for a in arrays]


def group_norm_forward_numba(x, weight, bias, *, groups=1, eps=1e-5):
    """x (B,T,C), weight (C), bias (C) -> y (B,T,C)."""
    _, T, C = x.shape
    if C % groups:
        raise ValueError(f"group_norm: {C} channels do not divide into {groups} groups")
    x = np.ascontiguousarray(x)
    sums, squares = channel_sums(x, x)
    mean = group_means(sums, groups, T)
    variance = np.maximum(group_means(squares, groups, T) - mean**2, 0)
    inverse_std = 1 / np.sqrt(variance + eps)
    q, m, r, p = single(weight * inverse_std, mean, bias, 0)
    return combine(p, x, q, x, m, r), (x, mean, inverse_std, weight)


def group_norm_backward_numba(dy, saved, *, groups=1, eps=1e-5):
    """dy (B,T,C) -> dx (B,T,C), dweight (C), dbias (C)."""
    x, mean, inverse_std, weight = saved
    T = dy.shape[1]
    dy = np.ascontiguousarray(dy)
    sums, products = channel_sums(dy, x)
    along = inverse_std * (products - mean * sums)  # Σ_t dy · x̂
    q = -(inverse_std**2) * group_means(weight * along, groups, T)
    r = -inverse_std * group_means(weight * sums, groups, T)
    p, q, m, r = single(weight * inverse_std, q, mean, r)
    return combine(p, dy, q, x, m, r), *single(along.sum(axis=0), sums.sum(axis=0))


group_norm.add("numba", group_norm_forward_numba, group_norm_backward_numba)
