"""Chapter 6: SEANet, and the weights of its convolutions."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops import weight_norm as library
from minicodec.ops.activations import elu_forward
from minicodec.ops.conv1d import conv1d_forward


def _elu(x):
    return elu_forward(x)[0]


def _conv(x, w, left, right=0):
    return conv1d_forward(np.pad(x, ((0, 0), (left, right), (0, 0))), w)[0]


def residual_unit(x: np.ndarray, w3: np.ndarray, w1: np.ndarray) -> np.ndarray:
    """x (B,T,C), w3 (3,C,H), w1 (1,H,C) -> y (B,T,C): x + [ELU, causal conv with w3, ELU, conv with w1](x).

    No biases, zeros as padding. ELU(a) = a for a > 0, exp(a) - 1 elsewhere.
    """
    return x + _conv(_elu(_conv(_elu(x), w3, 2)), w1, 0)


def _no_shortcut(x, w3, w1):
    return residual_unit(x, w3, w1) - x


def _elu_on_the_shortcut(x, w3, w1):
    return residual_unit(x, w3, w1) - x + _elu(x)


def _sees_the_future(x, w3, w1):
    return x + _conv(_elu(_conv(_elu(x), w3, 1, 1)), w1, 0)


def _padded_on_the_right(x, w3, w1):
    return x + _conv(_elu(_conv(_elu(x), w3, 0, 2)), w1, 0)


def _taps_backwards(x, w3, w1):
    return residual_unit(x, w3[::-1], w1)


def _elu_behind(x, w3, w1):
    return x + _elu(_conv(_elu(_conv(x, w3, 2)), w1, 0))


def _units(rng, fresh):
    more = int(rng.integers(1, 4)) if fresh else 0
    for B, T, C, H in [(2, 7, 4, 2), (3, 5 + more, 6, 3), (1, 1, 1, 1)]:
        yield rng.normal(size=(B, T, C)), rng.normal(size=(3, C, H)), rng.normal(size=(1, H, C))
    yield 3e3 * rng.normal(size=(1, 4, 2)), rng.normal(size=(3, 2, 1)), rng.normal(size=(1, 1, 2))  # exp overflows
    yield np.zeros((2, 3, 2)), rng.normal(size=(3, 2, 1)), rng.normal(size=(1, 1, 2))


def _axis_from_the_end(v, g, *, axis):
    others = tuple(i for i in range(v.ndim) if i != axis)
    return g * v / np.sqrt((v * v).sum(axis=others, keepdims=True))


def _of_all(v, g, *, axis):
    return g * v / np.sqrt((v * v).sum())


def _within_the_channel(v, g, *, axis):
    return g * v / np.sqrt((v * v).sum(axis=axis, keepdims=True))


def _not_normed(v, g, *, axis):
    return g * v


def _squared(v, g, *, axis):
    return g * v / library.weight_norm_forward(v, np.ones_like(g), axis=axis)[1][1] ** 2


def _parts(dw, saved):
    direction, length, g, others = saved
    return direction, length, g, (dw * direction).sum(axis=others, keepdims=True)


def _radial_kept(dw, saved, *, axis):
    _, length, g, dg = _parts(dw, saved)
    return g / length * dw, dg


def _length_forgotten(dw, saved, *, axis):
    direction, _, g, dg = _parts(dw, saved)
    return g * (dw - dg * direction), dg


def _g_forgotten(dw, saved, *, axis):
    direction, length, _, dg = _parts(dw, saved)
    return (dw - dg * direction) / length, dg


def _against_v(dw, saved, *, axis):
    _, length, _, dg = _parts(dw, saved)
    return library.weight_norm_backward(dw, saved, axis=axis)[0], dg * length


def _one_length(dw, saved, *, axis):
    direction, length, g, _ = saved
    dg = (dw * direction).sum(keepdims=True)
    return g / length * (dw - dg * direction), dg + 0 * g


def encoder_parameters(filters: int, latent: int, strides: tuple[int, ...], lstm_layers: int) -> int:
    """filters, latent, strides (a tuple), lstm_layers -> n: how many numbers an encoder for mono sound learns.

    A convolution K, Ci -> Co with weight norm: K·Ci·Co for v, Co for g, Co for the bias.
    An LSTM layer of H channels: two matrices (H,4H) and one bias (4H).

    The layers, with C = filters at first:
        convolution K = 7, 1 -> C
        for each stride: a residual unit, then a convolution K = 2·stride, C -> 2·C, and C doubles
            (the unit: convolutions K = 3, C -> C//2; K = 1, C//2 -> C; and as shortcut K = 1, C -> C)
        lstm_layers LSTM layers of C channels
        convolution K = 7, C -> latent
    """

    def conv(K: int, Ci: int, Co: int) -> int:
        return K * Ci * Co + 2 * Co

    C, total = filters, conv(7, 1, filters)
    for stride in strides:
        total += conv(3, C, C // 2) + conv(1, C // 2, C) + conv(1, C, C) + conv(2 * stride, C, 2 * C)
        C *= 2
    return total + lstm_layers * (8 * C * C + 4 * C) + conv(7, C, latent)


def _widths(filters, strides):
    return [filters * 2**n for n in range(len(strides) + 1)]


def _no_lengths(filters, latent, strides, lstm_layers):
    """Counts v and the bias only."""
    inside = sum(C // 2 + C + C + 2 * C for C in _widths(filters, strides)[:-1])
    return encoder_parameters(filters, latent, strides, lstm_layers) - filters - inside - latent


def _width_stays(filters, latent, strides, lstm_layers):
    """Forgets that each stride doubles the channels."""
    total = encoder_parameters(filters, latent, (), lstm_layers)
    for stride in strides:
        total += encoder_parameters(filters, 1, (stride,), 0) - encoder_parameters(filters, 1, (), 0) - 7 * filters
    return total


def _no_shortcuts(filters, latent, strides, lstm_layers):
    shortcuts = sum(C * C + 2 * C for C in _widths(filters, strides)[:-1])
    return encoder_parameters(filters, latent, strides, lstm_layers) - shortcuts


def _encoders(rng, fresh):
    yield 4, 6, (), 0  # from the smallest: the first that goes wrong says in which layer
    yield 4, 6, (3,), 0
    yield 4, 6, (), 1
    yield 32, 128, (2, 4, 5, 8), 2
    yield 8, 32, (2, 4, 5, 8), 1
    yield (2 * int(rng.integers(2, 9)), 5, (2, 7), 3) if fresh else (6, 5, (2, 7), 3)


def encoder_products(filters: int, latent: int, strides: tuple[int, ...], lstm_layers: int) -> int:
    """filters, latent, strides (a tuple), lstm_layers -> n: an encoder's multiplications for each frame of its latent.

    A convolution K, Ci -> Co does K·Ci·Co for each frame that it writes; an LSTM layer of H channels 8·H·H for each
    frame. Biases, norms and activations are not counted.

    The layers, with C = filters at first, and as many frames as the product of all strides:
        convolution K = 7, 1 -> C
        for each stride: a residual unit, then a convolution K = 2·stride, C -> 2·C, which writes one frame for
            `stride` that it reads; and C doubles
            (the unit: convolutions K = 3, C -> C//2; K = 1, C//2 -> C; and as shortcut K = 1, C -> C)
        lstm_layers LSTM layers of C channels
        convolution K = 7, C -> latent
    """
    frames = int(np.prod(strides))
    C, total = filters, 7 * filters * frames
    for stride in strides:
        total += (3 * C * (C // 2) + (C // 2) * C + C * C) * frames
        frames //= stride
        total += 2 * stride * C * 2 * C * frames
        C *= 2
    return total + lstm_layers * 8 * C * C + 7 * C * latent


def _same_rate(filters, latent, strides, lstm_layers):
    """Counts every weight once."""
    C, total = filters, 7 * filters
    for stride in strides:
        total += 3 * C * (C // 2) + (C // 2) * C + C * C + 2 * stride * C * 2 * C
        C *= 2
    return total + lstm_layers * 8 * C * C + 7 * C * latent


def _stride_too_late(filters, latent, strides, lstm_layers):
    """Strided convolutions counted for the frames that they read."""
    right, frames, C = encoder_products(filters, latent, strides, lstm_layers), int(np.prod(strides)), filters
    for stride in strides:
        right += 2 * stride * C * 2 * C * (frames - frames // stride)
        frames, C = frames // stride, 2 * C
    return right


EXERCISES = [
    of_function(
        residual_unit, 6, _units,
        mistakes=(
            Mistake(_no_shortcut, "x itself is missing: the unit adds to what it was given"),
            Mistake(_elu_on_the_shortcut, "the shortcut carries x as it is, without ELU"),
            Mistake(_sees_the_future, "the padding stands on both sides: all of it belongs on the left"),
            Mistake(_padded_on_the_right, "the padding stands on the right: each frame sees the two after it"),
            Mistake(_taps_backwards, "the taps run backwards: the last one, w3[2], belongs to the frame itself"),
            Mistake(_elu_behind, "each ELU stands BEFORE its convolution"),
        ),
        hint="pad two zero frames on the left of ELU(x); chapter 3's convolution does the rest.",
    ),
    of_op(
        "weight_norm", "forward", chapter=6,
        mistakes=(
            Mistake(_axis_from_the_end, "axis may be -1, and no i of range(v.ndim) is: axis % v.ndim counts from 0"),
            Mistake(_of_all, "one norm was taken over everything: each entry of `axis` has a norm of its own"),
            Mistake(_within_the_channel, "the norm runs along `axis`; it must run over all the OTHER axes"),
            Mistake(_not_normed, "v was not divided by its norm"),
            Mistake(_squared, "v was divided by its squared norm: the root is missing"),
        ),
        hint="the norm has the shape of g: 1 everywhere but at `axis`. Beware: axis may be -1.",
    ),
    of_op(
        "weight_norm", "backward", chapter=6, points=2,
        mistakes=(
            Mistake(_radial_kept, "take the part of dw along the direction out of dv: a longer v changes no w"),
            Mistake(_length_forgotten, "dv must be divided by the length of v"),
            Mistake(_g_forgotten, "dv must be multiplied by g"),
            Mistake(_one_length, "dg was summed over everything: each entry of `axis` has one of its own"),
            Mistake(_against_v, "dg is the product of dw with the direction, v/‖v‖, not with v"),
        ),
        hint="first dg, the part of dw along u = v/‖v‖; then dv = g/‖v‖ · (what is left of dw without that part).",
    ),
    of_function(
        encoder_parameters, 6, _encoders,
        mistakes=(
            Mistake(_no_lengths, "the lengths g are missing: Co of them for each convolution"),
            Mistake(_width_stays, "each stride doubles the channels for all that follows"),
            Mistake(_no_shortcuts, "the shortcut of a residual unit is a convolution too"),
        ),
        hint="carry C along: it is `filters` at first and doubles after each strided convolution.",
    ),
    of_function(
        encoder_products, 6, _encoders, variant_of="encoder_parameters",
        mistakes=(
            Mistake(_same_rate, "early layers write many frames for one latent frame: 320 with strides 2, 4, 5, 8"),
            Mistake(_stride_too_late, "a strided convolution works once for each frame that it WRITES"),
        ),
        hint="carry the number of frames along: the product of the strides at first, divided by each stride in turn.",
    ),
]  # fmt: skip
