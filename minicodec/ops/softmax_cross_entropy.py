"""Softmax, and the cross-entropy of a softmax: how surprised is the model by what came?

The softmax turns V logits into probabilities p_v = exp(x_v) / Σ_u exp(x_u). Adding a constant to all logits changes
nothing, so we subtract the largest: exp then never overflows. The cross-entropy of the symbol t that came is

    -ln p_t = ln Σ_u exp(x_u) - x_t        in nats; divided by ln 2, the bits that an ideal entropy coder spends on t

Its gradient is the plainest there is: p - onehot(t), what the model said minus what it should have said. That is why
both are one op: through the softmax's own backward it would be longer, and p_t = 0 would divide by zero.
"""

import numpy as np

from minicodec.backend import Op, xp


def softmax_forward(x):
    """x (*b,V) -> y (*b,V), probabilities over the last axis."""
    e = xp(x).exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, y


def softmax_backward(dy, saved):
    """dy (*b,V) -> dx (*b,V), dx_v = p_v (dy_v - Σ_u p_u dy_u): only differences from the mean can act."""
    y = saved
    return (y * (dy - (y * dy).sum(axis=-1, keepdims=True)),)


softmax = Op("softmax", softmax_forward, softmax_backward)


def check_targets(targets, V):
    """ValueError unless all are whole and in [0, V). A GPU's are not looked at: Python would wait each time."""
    if targets.dtype.kind not in "iu":
        raise ValueError(f"softmax_cross_entropy: targets are whole numbers, not {targets.dtype}")
    if xp(targets) is np and targets.size and (targets.min() < 0 or targets.max() >= V):
        raise ValueError(f"softmax_cross_entropy: targets {targets.min()} .. {targets.max()} are not in [0, {V})")


def softmax_cross_entropy_forward(logits, targets):
    """logits (*b,V), targets (*b) -> losses (*b), in nats; targets are integers in [0, V)."""
    check_targets(targets, logits.shape[-1])
    shifted = logits - logits.max(axis=-1, keepdims=True)
    e = xp(logits).exp(shifted)
    total = e.sum(axis=-1, keepdims=True)
    losses = xp(logits).log(total) - xp(logits).take_along_axis(shifted, targets[..., None], axis=-1)
    return losses[..., 0], (e / total, targets)


def softmax_cross_entropy_backward(dy, saved):
    """dy (*b) -> dlogits (*b,V), dlogits = dy · (p - onehot(target)); None for the targets."""
    p, targets = saved
    onehot = xp(p).arange(p.shape[-1]) == targets[..., None]
    return dy[..., None] * (p - onehot), None


softmax_cross_entropy = Op(
    "softmax_cross_entropy", softmax_cross_entropy_forward, softmax_cross_entropy_backward, indices=(1,)
)
