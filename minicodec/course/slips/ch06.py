"""Chapter 6."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch06_seanet import encoder_parameters, encoder_products
from minicodec.ops.conv1d import conv1d_forward
from minicodec.ops.weight_norm import weight_norm_backward


def _unit(x, w3, w1, elu, second=None):
    h = conv1d_forward(np.pad(elu(x), ((0, 0), (2, 0), (0, 0))), w3)[0]
    return x + conv1d_forward((second or elu)(h), w1)[0]


def _masked(a):
    return (a > 0) * a + (a <= 0) * (np.exp(a) - 1)


def _elu(a):
    return np.where(a > 0, a, np.expm1(np.minimum(a, 0)))


def _padded_with_ones(x, w3, w1):
    """Padded before ELU, but with the edge repeated."""
    h = conv1d_forward(np.pad(_elu(x), ((0, 0), (2, 0), (0, 0)), "edge"), w3)[0]
    return x + conv1d_forward(_elu(h), w1)[0]


def _norm(v, axis, order):
    others = tuple(i for i in range(v.ndim) if i != axis % v.ndim)
    if order == 1:
        return np.abs(v).sum(axis=others, keepdims=True)
    if order == 2:
        return np.sqrt((v * v).sum(axis=others, keepdims=True))
    return np.sqrt((v * v).mean(axis=others, keepdims=True))


def _changed(dv=lambda dv, dw, saved: dv, dg=lambda dg, dw, saved: dg):
    def run(dw, saved, *, axis):
        right = weight_norm_backward(dw, saved, axis=axis)
        return dv(right[0], dw, saved), dg(right[1], dw, saved)

    return run


def _with(dg_of):
    def run(dw, saved, *, axis):
        u, length, g, _ = saved
        dg = dg_of(dw, u, length, g, axis)
        return g / length * (dw - dg * u), dg

    return run


def _of_v(dw, saved, *, axis):
    u, length, g, others = saved
    dg = (dw * u * length).sum(axis=others, keepdims=True)
    return g / length * (dw - dg * u * length), dg


def _widths(filters, strides):
    return [filters * 2**n for n in range(len(strides) + 1)]


def _unit_not_halved(filters, latent, strides, lstm_layers):
    more = sum(4 * C * (C - C // 2) + 2 * (C - C // 2) for C in _widths(filters, strides)[:-1])
    return encoder_parameters(filters, latent, strides, lstm_layers) + more


def _no_biases(filters, latent, strides, lstm_layers):
    inside = sum(C // 2 + C + C + 2 * C for C in _widths(filters, strides)[:-1])
    total = encoder_parameters(filters, latent, strides, lstm_layers) - filters - inside - latent
    return total - 4 * _widths(filters, strides)[-1] * lstm_layers


def _lstm_twice(filters, latent, strides, lstm_layers):
    C = _widths(filters, strides)[-1]
    return encoder_parameters(filters, latent, strides, lstm_layers) + 4 * C * lstm_layers


def _kernel_of_stride(filters, latent, strides, lstm_layers):
    less = sum(s * C * 2 * C for s, C in zip(strides, _widths(filters, strides), strict=False))
    return encoder_parameters(filters, latent, strides, lstm_layers) - less


def _counted(norm=2, norm_of_input=False, matrices=2, gates=4, layers=None, bare_shortcut=False, doubled_late=True,
             last_is_narrow=False):  # fmt: skip
    """encoder_parameters, with some of it counted otherwise."""

    def conv(K, Ci, Co):
        return K * Ci * Co + (Ci + Co if norm_of_input else norm * Co)

    def run(filters, latent, strides, lstm_layers):
        C, total = filters, conv(7, 1, filters)
        for stride in strides:
            C *= 1 if doubled_late else 2
            total += conv(3, C, C // 2) + conv(1, C // 2, C) + conv(2 * stride, C, 2 * C)
            total += C * C if bare_shortcut else conv(1, C, C)
            C *= 2 if doubled_late else 1
        lstm = matrices * C * gates * C + gates * C
        return total + (layers or lstm_layers) * lstm + conv(7, filters if last_is_narrow else C, latent)

    return run


def _products(change):
    def run(filters, latent, strides, lstm_layers):
        return encoder_products(filters, latent, strides, lstm_layers) + change(filters, latent, strides, lstm_layers)

    return run


def _of_shortcuts(filters, latent, strides, lstm_layers):
    frames = np.prod(strides) // np.cumprod((1, *strides))[:-1]
    return -sum(int(n) * C * C for n, C in zip(frames, _widths(filters, strides), strict=False))


MISTAKES = {
    "residual_unit": (
        Mistake(
            lambda x, w3, w1: _unit(x, w3, w1, _masked),
            "exp of a large number is infinite, and infinity · 0 is no number: np.where or np.minimum before exp",
        ),
        Mistake(
            lambda x, w3, w1: _unit(x, w3, w1, lambda a: np.maximum(a, 0)),
            "that is ReLU; below 0, ELU is exp(a) - 1",
        ),
        Mistake(
            lambda x, w3, w1: _unit(x, w3, w1, lambda a: a, _elu),
            "the first ELU is missing: ELU, conv, ELU, conv",
        ),
        Mistake(
            lambda x, w3, w1: _unit(x, w3, w1, _elu, lambda a: a), "the second ELU is missing: ELU, conv, ELU, conv"
        ),
        Mistake(
            lambda x, w3, w1: _unit(x, w3, w1, lambda a: np.where(a > 0, a, np.exp(np.minimum(a, 0)))),
            "below 0, ELU is exp(a) - 1: the -1 is missing",
        ),
        Mistake(_padded_with_ones, "the first frame is repeated on the left; the padding is of zeros"),
    ),
    "weight_norm_forward": (
        Mistake(lambda v, g, *, axis: g * v / _norm(v, axis, 1), "that is a sum of magnitudes, not of squares"),
        Mistake(lambda v, g, *, axis: g * v / _norm(v, axis, 0), "that is a root of a MEAN square; a norm sums"),
        Mistake(lambda v, g, *, axis: v / _norm(v, axis, 2), "g is left out: it is the length that w gets"),
        Mistake(
            lambda v, g, *, axis: g * v / np.sqrt((v * v).sum(axis=tuple(range(v.ndim - 1)), keepdims=True)),
            "the norm always leaves out the last axis; it must leave out `axis`",
        ),
    ),
    "weight_norm_backward": (
        Mistake(_changed(dg=lambda dg, dw, saved: -dg), "the sign of dg is wrong: a longer g, a longer w"),
        Mistake(
            _changed(dv=lambda dv, dw, saved: saved[2] / saved[1] * (dw + (dw * saved[0]).sum(
                axis=saved[3], keepdims=True) * saved[0])),
            "the part of dw along u is taken out of dv: minus, not plus",
        ),
        Mistake(
            _changed(dg=lambda dg, dw, saved: dg / saved[0][..., :1].size),
            "dg is a sum over the other axes, not a mean",
        ),
        Mistake(
            lambda dw, saved, *, axis: weight_norm_backward(dw, saved, axis=axis)[::-1],
            "dv comes first, then dg: as v and g do",
        ),
        Mistake(_with(lambda dw, u, length, g, axis: (dw * u).sum(axis=axis, keepdims=True)),
                "dg was summed along `axis`; it must be summed over all the others, saved[3]"),
        Mistake(_changed(dv=lambda dv, dw, saved: dv + saved[2] / saved[1] * (1 - 1 / saved[1]) * saved[0] * (
                    dw * saved[0]).sum(axis=saved[3], keepdims=True)),
                "the direction is divided by its length already: do not divide it again"),
        Mistake(_of_v, "take the direction u from `saved`, not v: u has length 1"),
    ),
    "encoder_parameters": (
        Mistake(_unit_not_halved, "the middle of a residual unit has half of the channels, C//2"),
        Mistake(_no_biases, "only v is counted: a convolution has Co lengths and Co biases too, an LSTM biases"),
        Mistake(_lstm_twice, "this LSTM has one bias of 4H, not two"),
        Mistake(_kernel_of_stride, "the strided convolution has K = 2·stride taps, not `stride`"),
        Mistake(_counted(norm=0), "a convolution has Co lengths and Co biases besides its K·Ci·Co weights"),
        Mistake(_counted(norm_of_input=True), "g has one length for each OUTPUT channel: Co"),
        Mistake(_counted(matrices=1), "an LSTM layer has two matrices (H,4H): for its input and for its state"),
        Mistake(_counted(gates=2), "an LSTM layer has four gates: its matrices are (H,4H), its bias has 4H"),
        Mistake(_counted(layers=1), "there are `lstm_layers` LSTM layers, not one"),
        Mistake(_counted(bare_shortcut=True), "the shortcut is a whole convolution: it has lengths and biases too"),
        Mistake(_counted(doubled_late=False), "C doubles after the unit and the strided convolution, not before them"),
        Mistake(_counted(last_is_narrow=True), "the last convolution reads what the last stride left, not `filters`"),
    ),
    "encoder_products": (
        Mistake(_products(_of_shortcuts), "the shortcut of a residual unit is a convolution too"),
        Mistake(
            _products(lambda filters, latent, strides, n: -4 * n * _widths(filters, strides)[-1] ** 2),
            "an LSTM layer has two matrices (H,4H): 8·H·H products for each frame",
        ),
        Mistake(
            _products(lambda filters, latent, strides, n: -7 * filters * (int(np.prod(strides)) - 1)),
            "the first convolution works at the full rate: product of the strides times for one latent frame",
        ),
    ),
}  # fmt: skip
