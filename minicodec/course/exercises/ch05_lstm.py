"""Chapter 5: LSTM and backpropagation through time."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops import lstm as library


def lstm_step(x, h, c, w_ih, w_hh, b):
    """x (B,Ci), h (B,H), c (B,H), w_ih (Ci,4H), w_hh (H,4H), b (4H) -> h (B,H), c (B,H), one frame later.

    The columns of the weights belong to the input gate, the forget gate, the candidate and the output gate, H each.
    """
    y, _ = library.lstm_forward(x[:, None], w_ih, w_hh, b, h, c)
    H = len(w_hh)
    return y[:, 0, :H], y[:, 0, H:]


def _parts(x, h, w_ih, w_hh, b):
    return np.split(x @ w_ih + h @ w_hh + b, 4, axis=1)


def _gates_in_another_order(x, h, c, w_ih, w_hh, b):
    i, f, o, g = _parts(x, h, w_ih, w_hh, b)
    c = library.sigmoid(f) * c + library.sigmoid(i) * np.tanh(g)
    return library.sigmoid(o) * np.tanh(c), c


def _no_tanh_at_the_end(x, h, c, w_ih, w_hh, b):
    i, f, g, o = _parts(x, h, w_ih, w_hh, b)
    c = library.sigmoid(f) * c + library.sigmoid(i) * np.tanh(g)
    return library.sigmoid(o) * c, c


def _memory_not_carried(x, h, c, w_ih, w_hh, b):
    i, _, g, o = _parts(x, h, w_ih, w_hh, b)
    c = library.sigmoid(i) * np.tanh(g)
    return library.sigmoid(o) * np.tanh(c), c


def _steps(rng, fresh):
    for B, Ci, H in [(1, 1, 1), (2, 3, 4), (3, 5, 2 + int(fresh))]:
        yield (
            rng.normal(size=(B, Ci)), rng.normal(size=(B, H)), rng.normal(size=(B, H)),
            rng.normal(size=(Ci, 4 * H)), rng.normal(size=(H, 4 * H)), rng.normal(size=4 * H),
        )  # fmt: skip
    loud = 1e4 * rng.normal(size=(2, 3))  # exp overflows
    yield loud, np.zeros((2, 1)), np.ones((2, 1)), rng.normal(size=(3, 4)), rng.normal(size=(1, 4)), np.zeros(4)
    yield np.zeros((1, 2)), np.zeros((1, 1)), np.zeros((1, 1)), np.ones((2, 4)), np.ones((1, 4)), np.zeros(4)  # silence


def gru_step(x, h, w_ih, w_hh, b):
    """x (B,Ci), h (B,H), w_ih (Ci,3H), w_hh (H,3H), b (3H) -> h (B,H), one frame later: a gated recurrent unit.

    The columns belong to r, u and n. r = sigmoid(x w_r + h v_r + b_r), u likewise; n = tanh(x w_n + r (h v_n) + b_n);
    the new h is (1 - u) n + u h. (w of w_ih, v of w_hh.)
    """
    H = h.shape[1]
    zx, zh = x @ w_ih + b, h @ w_hh
    r, u = (library.sigmoid(zx[:, k * H : (k + 1) * H] + zh[:, k * H : (k + 1) * H]) for k in range(2))
    n = np.tanh(zx[:, 2 * H :] + r * zh[:, 2 * H :])
    return (1 - u) * n + u * h


def _u_swapped(x, h, w_ih, w_hh, b):
    n_and_h = gru_step(x, h, w_ih, w_hh, b), h
    H = h.shape[1]
    u = library.sigmoid((x @ w_ih + b + h @ w_hh)[:, H : 2 * H])
    n = (n_and_h[0] - u * h) / (1 - u)
    return u * n + (1 - u) * h


def _reset_too_early(x, h, w_ih, w_hh, b):
    H = h.shape[1]
    r, u = np.split(library.sigmoid((x @ w_ih + b + h @ w_hh)[:, : 2 * H]), 2, axis=1)
    n = np.tanh((x @ w_ih + b + (r * h) @ w_hh)[:, 2 * H :])
    return (1 - u) * n + u * h


def _gru_steps(rng, fresh):
    for B, Ci, H in [(1, 1, 1), (2, 3, 4), (3, 5, 2 + int(fresh))]:
        yield (
            rng.normal(size=(B, Ci)), rng.normal(size=(B, H)),
            rng.normal(size=(Ci, 3 * H)), rng.normal(size=(H, 3 * H)), rng.normal(size=3 * H),
        )  # fmt: skip


def lstm_step_backward(dh, dc, gates, c_before, c):
    """dh (B,H), dc (B,H), gates (B,4H), c_before (B,H), c (B,H) -> dz (B,4H), dc_before (B,H), for one frame.

    gates: i, f, g, o as the forward computed them, side by side; c_before and c: the memory before and after this
    frame. dh, dc: all that arrives at this frame's h and c, from outside and from the next frame; dz: gradients of
    what stood inside of the sigmoids and of the tanh.
    """
    i, f, g, o = np.split(gates, 4, axis=1)
    s = np.tanh(c)
    dc = dc + dh * o * (1 - s * s)
    dz = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * s * o * (1 - o)]
    return np.concatenate(dz, axis=1), dc * f


def _h_forgotten(dh, dc, gates, c_before, c):
    right, _ = lstm_step_backward(dh, dc, gates, c_before, c)
    wrong, dc_before = lstm_step_backward(np.zeros_like(dh), dc, gates, c_before, c)
    H = dh.shape[1]
    return np.concatenate([wrong[:, : 3 * H], right[:, 3 * H :]], axis=1), dc_before


def _no_slopes(dh, dc, gates, c_before, c):
    i, f, g, o = np.split(gates, 4, axis=1)
    s = np.tanh(c)
    dc = dc + dh * o * (1 - s * s)
    return np.concatenate([dc * g, dc * c_before, dc * i, dh * s], axis=1), dc * f


def _memory_after(dh, dc, gates, c_before, c):
    return lstm_step_backward(dh, dc, gates, c, c)


def _frames(rng, fresh):
    for B, H in [(1, 1), (2, 3), (4, 2 + int(fresh))]:
        gates = library.sigmoid(rng.normal(size=(B, 4 * H)))
        gates[:, 2 * H : 3 * H] = np.tanh(rng.normal(size=(B, H)))
        c_before = rng.normal(size=(B, H))
        i, f, g, _ = np.split(gates, 4, axis=1)
        yield rng.normal(size=(B, H)), rng.normal(size=(B, H)), gates, c_before, f * c_before + i * g


def _time_forwards(dy, saved):
    """Walks from the first frame to the last."""
    x, w_ih, w_hh, h0, c0, gates, y = saved
    H = len(w_hh)
    dz = np.empty_like(gates)
    dh, dc = np.zeros_like(h0), np.zeros_like(c0)
    for t in range(dy.shape[1]):
        before = y[:, t - 1, H:] if t else c0
        dz[:, t], dc = lstm_step_backward(dh + dy[:, t, :H], dc + dy[:, t, H:], gates[:, t], before, y[:, t, H:])
        dh = dz[:, t] @ w_hh.T
    return _collected(dz, x, w_ih, h0, y, H, dh, dc)


def _only_from_outside(dy, saved):
    """Forgets what frame t + 1 sends to h_t."""
    x, w_ih, w_hh, h0, c0, gates, y = saved
    H = len(w_hh)
    dz = np.empty_like(gates)
    dc = np.zeros_like(c0)
    dh = np.zeros_like(h0)
    for t in reversed(range(dy.shape[1])):
        before = y[:, t - 1, H:] if t else c0
        dz[:, t], dc = lstm_step_backward(dy[:, t, :H], dc + dy[:, t, H:], gates[:, t], before, y[:, t, H:])
        dh = dz[:, t] @ w_hh.T
    return _collected(dz, x, w_ih, h0, y, H, dh, dc)


def _collected(dz, x, w_ih, h0, y, H, dh, dc):
    h_before = np.concatenate([h0[:, None], y[:, :-1, :H]], axis=1)
    over = {"axes": ((0, 1), (0, 1))}
    dw_ih, dw_hh = np.tensordot(x, dz, **over), np.tensordot(h_before, dz, **over)
    return dz @ w_ih.T, dw_ih, dw_hh, dz.sum(axis=(0, 1)), dh, dc


EXERCISES = [
    of_function(
        lstm_step, 5, _steps,
        mistakes=(
            Mistake(_gates_in_another_order, "the gates are in another order: i, f, g, o"),
            Mistake(_no_tanh_at_the_end, "h is o·tanh(c), not o·c"),
            Mistake(_memory_not_carried, "the old memory is lost: c is f·c + i·g"),
        ),
        hint="np.split(z, 4, axis=1) gives the four parts; sigmoid for i, f and o, tanh for g.",
    ),
    of_function(
        lstm_step_backward, 5, _frames, points=2,
        mistakes=(
            Mistake(_h_forgotten, "dh must be added into dc: h = o·tanh(c) depends on c"),
            Mistake(_no_slopes, "the slopes of sigmoid, s(1 - s), and of tanh, 1 - g², are missing"),
            Mistake(_memory_after, "the forget gate multiplied the memory BEFORE this frame: df = dc·c_before"),
        ),
        hint="first dc += dh·o·(1 - tanh(c)²); after that each gate needs one product and its own slope.",
    ),
    of_op(
        "lstm", "backward", chapter=5, points=3,
        mistakes=(
            Mistake(_time_forwards, "time runs the wrong way: the next frame's gradient must come first"),
            Mistake(_only_from_outside, "h has two readers: add what comes from dy and what the next frame sends back"),
        ),
        hint="walk back in time with lstm_step_backward; dz @ w_hh.T goes to the frame before; weights come last.",
    ),
    of_function(
        gru_step, 5, _gru_steps, variant_of="lstm_step",
        mistakes=(
            Mistake(_u_swapped, "u and 1 - u have changed places: u keeps the old h"),
            Mistake(_reset_too_early, "r multiplies h v_n, after the product with the weights, not h before it"),
        ),
        hint="keep x w + b and h v apart: the candidate needs them apart.",
    ),
]  # fmt: skip
