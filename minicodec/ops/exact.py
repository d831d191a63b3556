"""Float arithmetic whose every result is the same to the bit on every machine: the definitions, in plain NumPy.

Why. An entropy decoder must have the very frequencies that the encoder had. One that is off by one, of the thousands
behind a frame, shifts an interval; the next symbols come out wrong, the model is fed with them, and all that follows is
noise. Frequencies of a neural network are sums of floats, and a float sum depends on its order:
(1 + 1e8) - 1e8 = 0, but 1 + (1e8 - 1e8) = 1. Which order a BLAS takes depends on the CPU, the number of threads, the
number of rows; a compiler may replace x·y + z by one instruction that rounds once instead of twice (FMA); and every C
library has its own exp. So a stream may decode on the machine that wrote it, and on no other.

What is done about it. IEEE 754 leaves no freedom in +, −, ·, / and √: each has one correctly rounded result. So here
everything is made of these, and each number is computed in one order that is written down:

    products of matrices     y[n] = ((bias[n] + x[0]·w[0,n]) + x[1]·w[1,n]) + …        product and sum rounded apart
    other sums               `fold`: halves are added to each other until one number is left
    exp, GELU                polynomials; constants are literals
    frequencies              integers, once exp is done

Speed does not suffer: outputs n stand side by side in vectors, of 4 or 16 lanes as the CPU has them, and each lane sums
in its own order. Rows (sequences, frames) may come one at a time or by the thousand: no row sees another.

These lines are part of the file format: to change a result's last bit is to make all files unreadable, and a test holds
them to a recorded hash. kernels/cpu/exact.py does the same in Numba; here, CuPy arrays may come too.
"""

import math

import numpy as np

from minicodec.backend import xp

LOWEST = np.float32(-80)  # exp of less is taken for exp of this, 2e-35: far from the floats that some CPUs take for 0
ONE, HALF, SMALL = np.float32(1), np.float32(1 / 2), np.float32(1 / 256)
C3, C4, C5 = np.float32(1 / 6), np.float32(1 / 24), np.float32(1 / 120)
# The normal distribution's tail, by formula 26.2.17 of [Abramowitz64]
INVERSE_SQRT_2PI, P, B1 = np.float32(0.398942280), np.float32(0.2316419), np.float32(0.319381530)
B2, B3 = np.float32(-0.356563782), np.float32(1.781477937)
B4, B5 = np.float32(-1.821255978), np.float32(1.330274429)
EPS = np.float32(1e-5)  # of layer norm

SHARE_BITS = 24  # exp of logits is turned into integers up to 2^24
TOTAL = 1 << 24  # frequencies add up to this, or a little less
FACTOR_BITS = 38


def exp(x):
    """e^x for x <= 0, to 4e-5 (5e-4 near LOWEST): (e^(x/256))^256, the inner one by its Taylor series."""
    r = np.maximum(x, LOWEST) * SMALL
    e = ONE + r * (ONE + r * (HALF + r * (C3 + r * (C4 + r * C5))))
    for _ in range(8):
        e = e * e
    return e


def gelu(x):
    """x Φ(x) for any x. With Φ's tail, Φ(-|x|) = φ(x)(B1 t + … + B5 t⁵), it is max(x, 0) - |x| Φ(-|x|)."""
    size = np.abs(x)
    t = ONE / (ONE + P * size)
    density = INVERSE_SQRT_2PI * exp(-HALF * x * x)
    tail = density * (t * (B1 + t * (B2 + t * (B3 + t * (B4 + t * B5)))))
    return np.maximum(x, np.float32(0)) - size * tail


def fold(x):
    """x (...,n) -> its sums (...): the second half is added to the first (the middle one waits), and so on."""
    x, n = x.copy(), x.shape[-1]
    while n > 1:
        half = (n + 1) // 2
        x[..., : n - half] += x[..., half:n]
        n = half
    return x[..., 0]


def linear(x, w, bias):
    """x (R,K), w (K,N), bias (N) -> y (R,N) = bias + x w, k ascending."""
    y = bias + xp(x).zeros((len(x), 1), np.float32)
    for k in range(len(w)):
        y = y + x[:, k, None] * w[k]
    return y


def layer_norm(x, weight, bias):
    """x (R,D) -> y (R,D): each row to mean 0 and variance 1, then scaled and shifted."""
    share = np.float32(1 / x.shape[1])
    centred = x - (fold(x) * share)[:, None]
    variance = fold(centred * centred) * share
    return centred / np.sqrt(variance + EPS)[:, None] * weight + bias


def attend(qkv, keys, values, first):
    """Causal attention of frames first … first + T - 1: qkv (B,T,3D), the frames before in a ring -> y (B,T,D).

    The rings keys (B,heads,d,W) and values (B,heads,W,d) hold frame f in slot f % W, and are given the new frames. Sums
    over frames go by slot; so a step of any frame number costs the same, and in any company gives the same bits.
    """
    B, T, _ = qkv.shape
    _, heads, d, W = keys.shape
    q, k, v = qkv.reshape(B, T, 3, heads, d).transpose(2, 0, 1, 3, 4)
    scale = np.float32(1 / math.sqrt(d))
    y = xp(qkv).empty((B, T, heads, d), np.float32)
    for t in range(T):
        slot, n = (first + t) % W, min(first + t + 1, W)
        keys[..., slot], values[:, :, slot] = k[:, t], v[:, t]
        scores = xp(qkv).zeros((B, heads, n), np.float32)
        for i in range(d):
            scores = scores + q[:, t, :, i, None] * keys[:, :, i, :n]
        scores = scores * scale
        weights = exp(scores - scores.max(axis=-1, keepdims=True))
        total = xp(qkv).zeros((B, heads, d), np.float32)
        for j in range(n):
            total = total + weights[..., j, None] * values[:, :, j]
        y[:, t] = total / fold(weights)[..., None]
    return y.reshape(B, T, -1)


def cumulative_counts(logits):
    """Logits (R,V) -> where the counts of each symbol start, and where they end: (R,V+1) int64, from 0 to <= TOTAL.

    Each symbol has 1 count; the others go by the softmax, rounded down (which leaves over V of TOTAL = 2^24, at most).
    """
    V = logits.shape[-1]
    e = exp(logits - logits.max(axis=-1, keepdims=True))
    shares = (e * np.float32(1 << SHARE_BITS)).astype(np.int64)
    factor = ((TOTAL - V) << FACTOR_BITS) // shares.sum(axis=-1, keepdims=True)
    cumulative = xp(logits).zeros((*logits.shape[:-1], V + 1), np.int64)
    cumulative[..., 1:] = (1 + (shares * factor >> FACTOR_BITS)).cumsum(axis=-1)
    return cumulative
