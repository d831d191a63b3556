"""Chapter 5."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch05_lstm import gru_step, lstm_step, lstm_step_backward
from minicodec.ops.lstm import lstm_backward, sigmoid


def _parts(x, h, w_ih, w_hh, b):
    return np.split(x @ w_ih + h @ w_hh + b, 4, axis=1)


def _overflowing(x, h, c, w_ih, w_hh, b):
    i, f, g, o = _parts(x, h, w_ih, w_hh, b)
    i, f, o = (np.exp(z) / (1 + np.exp(z)) for z in (i, f, o))
    c = f * c + i * np.tanh(g)
    return o * np.tanh(c), c


def _sigmoid_everywhere(x, h, c, w_ih, w_hh, b):
    i, f, g, o = (sigmoid(z) for z in _parts(x, h, w_ih, w_hh, b))
    c = f * c + i * g
    return o * np.tanh(c), c


def _old_memory_in_h(x, h, c, w_ih, w_hh, b):
    o = sigmoid(_parts(x, h, w_ih, w_hh, b)[3])
    return o * np.tanh(c), lstm_step(x, h, c, w_ih, w_hh, b)[1]


def _bias_reset(x, h, w_ih, w_hh, b):
    H = h.shape[1]
    zx, zh = x @ w_ih, h @ w_hh + b
    r, u = np.split(sigmoid((zx + zh)[:, : 2 * H]), 2, axis=1)
    return (1 - u) * np.tanh(zx[:, 2 * H :] + r * zh[:, 2 * H :]) + u * h


def _no_tanh(x, h, w_ih, w_hh, b):
    H = h.shape[1]
    zx, zh = x @ w_ih + b, h @ w_hh
    r, u = np.split(sigmoid((zx + zh)[:, : 2 * H]), 2, axis=1)
    return (1 - u) * (zx[:, 2 * H :] + r * zh[:, 2 * H :]) + u * h


def _no_memory(x, h, w_ih, w_hh, b):
    return gru_step(x, h, w_ih, w_hh, b) - sigmoid((x @ w_ih + b + h @ w_hh)[:, h.shape[1] : 2 * h.shape[1]]) * h


def _tanh_slope(dh, dc, gates, c_before, c):
    i, f, g, o = np.split(gates, 4, axis=1)
    s = np.tanh(c)
    dc = dc + dh * o * (1 - c * c)
    dz = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * s * o * (1 - o)]
    return np.concatenate(dz, axis=1), dc * f


def _before_and_now(dh, dc, gates, c_before, c):
    dz, dc_before = lstm_step_backward(dh, dc, gates, c_before, c)
    return dz, dc_before / np.split(gates, 4, axis=1)[1]


def _no_tanh_at_output(dh, dc, gates, c_before, c):
    dz, dc_before = lstm_step_backward(dh, dc, gates, c_before, c)
    H, o = dh.shape[1], gates[:, 3 * dh.shape[1] :]
    return np.concatenate([dz[:, : 3 * H], dh * c * o * (1 - o)], axis=1), dc_before


def _changed(**changes):
    """lstm's backward with some of its six results changed, by name."""

    def run(dy, saved):
        names = ("dx", "dw_ih", "dw_hh", "db", "dh0", "dc0")
        right = dict(zip(names, lstm_backward(dy, saved), strict=True))
        return tuple(changes[name](right[name], dy, saved) if name in changes else right[name] for name in names)

    return run


MISTAKES = {
    "lstm_step": (
        Mistake(_overflowing, "exp(z)/(1 + exp(z)) is inf/inf for a large z: write the sigmoid as 1/(1 + exp(-z))"),
        Mistake(_sigmoid_everywhere, "the candidate g takes tanh; only the three gates take the sigmoid"),
        Mistake(_old_memory_in_h, "h is made of the NEW memory: first c, then h"),
        Mistake(
            lambda x, h, c, w_ih, w_hh, b: lstm_step(x, 0 * h, c, w_ih, w_hh, b),
            "h is left out: z = x·w_ih + h·w_hh + b",
        ),
    ),
    "gru_step": (
        Mistake(_bias_reset, "b belongs to x·w, outside of what r multiplies"),
        Mistake(_no_tanh, "the candidate n takes tanh"),
        Mistake(_no_memory, "the old h is lost: (1 - u)·n + u·h"),
    ),
    "lstm_step_backward": (
        Mistake(_tanh_slope, "the slope of tanh at c is 1 - tanh(c)², not 1 - c²"),
        Mistake(_before_and_now, "the memory before this frame was multiplied by f: so is what goes back to it"),
        Mistake(_no_tanh_at_output, "the output gate multiplied tanh(c), not c"),
    ),
    "lstm_backward": (
        Mistake(
            _changed(dh0=lambda d, dy, saved: np.zeros_like(d), dc0=lambda d, dy, saved: np.zeros_like(d)),
            "the states before the first frame get gradients too: what is left of dh and dc after the walk",
        ),
        Mistake(
            _changed(dw_hh=lambda d, dy, saved: np.zeros_like(d)), "dw_hh is zero: h before each frame meets its dz"
        ),
        Mistake(
            _changed(db=lambda d, dy, saved: d / (dy.shape[0] * dy.shape[1])),
            "db is a sum over all items and frames, not a mean",
        ),
    ),
}
