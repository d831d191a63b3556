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
    if T == 0:
        raise ValueError("group_norm: there are no frames to take the mean of")
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
