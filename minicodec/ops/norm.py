"""Normalisation of activations: layer norm [Ba16] and group norm [Wu18].

Both shift and scale a set of n numbers to mean 0 and variance 1, and then give each channel a learnt weight and bias:

    x̂ = (x - μ) / √(σ² + eps),        y = weight · x̂ + bias

They differ in the set. Layer norm: the channels of one frame (the language model). Group norm: all frames and channels
of one item; with `groups` > 1, the channels are divided into so many sets. EnCodec at 48 kHz normalises after
every convolution, with one group, which looks at the future: so only chunks of 1 s can be coded, and no live stream.

The backward, with dx̂ = weight · dy and means over the set:

    dx = (dx̂ - mean(dx̂) - x̂ · mean(dx̂ · x̂)) / √(σ² + eps)

x̂ does not change when x is shifted or scaled as a whole, so the two subtracted terms take out of dx̂ what would only do
that: its mean, and its part along x̂.
"""

import numpy as np
from numba import njit

from minicodec.backend import Op, xp


def normalise(x, axes, eps):
    """x̂ and 1 / √(σ² + eps), the statistics taken over `axes`."""
    centred = x - x.mean(axis=axes, keepdims=True)
    inverse_std = 1 / xp(x).sqrt((centred * centred).mean(axis=axes, keepdims=True) + eps)
    return centred * inverse_std, inverse_std


def normalise_backward(dx_hat, x_hat, inverse_std, axes):
    """The gradient of x, given the gradient of x̂."""
    along = (dx_hat * x_hat).mean(axis=axes, keepdims=True)
    return inverse_std * (dx_hat - dx_hat.mean(axis=axes, keepdims=True) - x_hat * along)


def layer_norm_forward(x, weight, bias, *, eps=1e-5):
    """x (*b,C), weight (C), bias (C) -> y (*b,C)."""
    x_hat, inverse_std = normalise(x, -1, eps)
    return weight * x_hat + bias, (x_hat, inverse_std, weight)


def layer_norm_backward(dy, saved, *, eps=1e-5):
    """dy (*b,C) -> dx (*b,C), dweight (C), dbias (C)."""
    x_hat, inverse_std, weight = saved
    frames = tuple(range(dy.ndim - 1))
    dx = normalise_backward(weight * dy, x_hat, inverse_std, -1)
    return dx, (dy * x_hat).sum(axis=frames), dy.sum(axis=frames)


layer_norm = Op("layer_norm", layer_norm_forward, layer_norm_backward)


def group_norm_forward(x, weight, bias, *, groups=1, eps=1e-5):
    """x (B,T,C), weight (C), bias (C) -> y (B,T,C)."""
    B, T, C = x.shape
    if C % groups:
        raise ValueError(f"group_norm: {C} channels do not divide into {groups} groups")
    x_hat, inverse_std = normalise(x.reshape(B, T, groups, C // groups), (1, 3), eps)
    x_hat = x_hat.reshape(x.shape)
    return weight * x_hat + bias, (x_hat, inverse_std, weight)


def group_norm_backward(dy, saved, *, groups=1, eps=1e-5):
    """dy (B,T,C) -> dx (B,T,C), dweight (C), dbias (C)."""
    x_hat, inverse_std, weight = saved
    B, T, C = dy.shape
    grouped = (B, T, groups, C // groups)
    dx = normalise_backward((weight * dy).reshape(grouped), x_hat.reshape(grouped), inverse_std, (1, 3))
    return dx.reshape(dy.shape), (dy * x_hat).sum(axis=(0, 1)), dy.sum(axis=(0, 1))


group_norm = Op("group_norm", group_norm_forward, group_norm_backward)


# Numba, for group norm: one pass over memory for the sums, one for the result. Everything between is per channel and in
# float64, in which the sums over many frames, and the variance as mean(x²) - mean(x)², lose nothing that matters.


@njit(cache=True, nogil=True)
def channel_sums(u, v):
    """u, v (B,T,C) -> Σ_t u (B,C), Σ_t u·v (B,C), in float64."""
    B, T, C = u.shape
    sums, products = np.zeros((B, C)), np.zeros((B, C))
    for b in range(B):
        for t in range(T):
            for c in range(C):
                value = np.float64(u[b, t, c])
                sums[b, c] += value
                products[b, c] += value * np.float64(v[b, t, c])
    return sums, products


@njit(cache=True, nogil=True)
def combine(p, u, q, v, m, r):
    """u, v (B,T,C), the rest (B,C) -> p·u + q·(v - m) + r (B,T,C)."""
    B, T, C = u.shape
    out = np.empty((B, T, C), np.float32)
    for b in range(B):
        for t in range(T):
            for c in range(C):
                out[b, t, c] = p[b, c] * u[b, t, c] + q[b, c] * (v[b, t, c] - m[b, c]) + r[b, c]
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
