"""Chapter 5: the layer with a memory."""

import numpy as np

from minicodec.course.my_codec.tensor import Tensor, parameter


def lstm_step(x, h, c, w_ih, w_hh, b):
    """x (B,Ci), h (B,H), c (B,H), w_ih (Ci,4H), w_hh (H,4H), b (4H) -> h (B,H), c (B,H), one frame later."""
    i, f, g, o = np.split(x @ w_ih + h @ w_hh + b, 4, axis=1)
    i, f, o = (0.5 + 0.5 * np.tanh(0.5 * z) for z in (i, f, o))  # 1 / (1 + exp(-z)), which cannot overflow
    c = f * c + i * np.tanh(g)
    return o * np.tanh(c), c


def lstm_forward(x, w_ih, w_hh, b, h0, c0):
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H), gates (B,T,4H).

    y[:, t] is h and c of frame t, side by side; gates[:, t] are i, f, g and o, after sigmoid and tanh.
    """
    (B, T, _), H = x.shape, len(w_hh)
    gates, y = x @ w_ih + b, np.zeros((B, T, 2 * H), x.dtype)
    h, c = h0, c0
    for t in range(T):
        i, f, g, o = np.split(gates[:, t] + h @ w_hh, 4, axis=1)
        i, f, o = (0.5 + 0.5 * np.tanh(0.5 * z) for z in (i, f, o))  # 1 / (1 + exp(-z)), which cannot overflow
        g = np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        gates[:, t] = np.concatenate([i, f, g, o], axis=1)
        y[:, t] = np.concatenate([h, c], axis=1)
    return y, gates


def lstm_step_backward(dh, dc, gates, c_before, c):
    """dh (B,H), dc (B,H), gates (B,4H), c_before (B,H), c (B,H) -> dz (B,4H), dc_before (B,H), for one frame."""
    i, f, g, o = np.split(gates, 4, axis=1)
    s = np.tanh(c)
    dc = dc + dh * o * (1 - s * s)
    dz = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * s * o * (1 - o)]
    return np.concatenate(dz, axis=1), dc * f


def lstm_backward(dy, saved):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H).

    saved: (x, w_ih, w_hh, h0, c0, gates, y).
    """
    x, w_ih, w_hh, h0, c0, gates, y = saved
    T, H = dy.shape[1], len(w_hh)
    dz = np.zeros_like(gates)
    dh, dc = np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(T)):
        c_before = y[:, t - 1, H:] if t > 0 else c0
        dh, dc = dh + dy[:, t, :H], dc + dy[:, t, H:]
        dz[:, t], dc = lstm_step_backward(dh, dc, gates[:, t], c_before, y[:, t, H:])
        dh = dz[:, t] @ w_hh.T
    h_before = np.concatenate([h0[:, None], y[:, :-1, :H]], axis=1)[:, :T]
    dw_ih, dw_hh = (np.tensordot(a, dz, axes=((0, 1), (0, 1))) for a in (x, h_before))
    return dz @ w_ih.T, dw_ih, dw_hh, dz.sum(axis=(0, 1)), dh, dc


class LSTMLayer:
    """One layer, from the state of zeros: parameters weight_ih (H,4H), weight_hh (H,4H), bias (4H)."""

    def __init__(self, H, rng):
        """All are uniform random numbers of rng in ±1/sqrt(H), in this order."""
        bound = 1 / np.sqrt(H)
        self.weight_ih = parameter(rng.uniform(-bound, bound, (H, 4 * H)))
        self.weight_hh = parameter(rng.uniform(-bound, bound, (H, 4 * H)))
        self.bias = parameter(rng.uniform(-bound, bound, 4 * H))

    def __call__(self, x):
        """x (B,T,H) -> h (B,T,H), Tensors. lstm_forward computes it, lstm_backward sends gradients back."""
        H = len(self.weight_hh.data)
        weights = (self.weight_ih, self.weight_hh, self.bias)
        arrays = [w.data for w in weights]
        zeros = np.zeros((len(x.data), H), x.data.dtype)
        y, gates = lstm_forward(x.data, *arrays, zeros, zeros)
        saved = (x.data, arrays[0], arrays[1], zeros, zeros, gates, y)

        def send_back(dh):
            dy = np.concatenate([dh, np.zeros_like(dh)], axis=2)  # nobody reads c
            return lstm_backward(dy, saved)[:4]

        return Tensor(y[..., :H], (x, *weights), send_back)


class LSTM:
    """A stack of layers with a skip over all of them: y = x + layers(x)."""

    def __init__(self, H, depth, rng):
        self.layers = [LSTMLayer(H, rng) for _ in range(depth)]

    def __call__(self, x):
        """x (B,T,H) -> y (B,T,H), Tensors."""
        y = x
        for layer in self.layers:
            y = layer(y)
        return y + x
