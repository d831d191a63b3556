"""Long short-term memory: one layer, over a whole sequence [Hochreiter97; with the forget gate of Gers00].

A memory c (B,H) is carried from frame to frame. Three gates in (0, 1) decide what is forgotten, what is written and
what is shown of it; g is what could be written. With σ the logistic function and all four computed at once:

    z_t = x_t w_ih + h_{t-1} w_hh + b           (B,4H), H columns each for i, f, g, o, the order of PyTorch
    i, f, o = σ(z_i), σ(z_f), σ(z_o)            input, forget, output gate
    g = tanh(z_g)                               candidate ("cell") values
    c_t = f c_{t-1} + i g
    h_t = o tanh(c_t)

One bias: PyTorch adds two, b_ih + b_hh, which can do no more than their sum.

The op returns y (B,T,2H), y[:, t] = [h_t | c_t]. So the output is y[..., :H], the state after the last frame is
y[:, -1], and gradients that arrive at either are plain slices of dy. A stream is cut anywhere: hand the last state to
the next chunk as h0 and c0.
"""

from minicodec.backend import Op, xp


def sigmoid(z):
    """1 / (1 + exp(-z)), by way of tanh, which cannot overflow."""
    return 0.5 + 0.5 * xp(z).tanh(0.5 * z)


def lstm_forward(x, w_ih, w_hh, b, h0, c0):
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H), [h_t | c_t]."""
    B, T, _ = x.shape
    H = len(w_hh)
    gates = x @ w_ih + b
    y = xp(x).empty((B, T, 2 * H), x.dtype)
    h, c = h0, c0
    for t in range(T):
        z = gates[:, t]  # a view: z becomes i, f, g, o in place
        z += h @ w_hh
        z[:, : 2 * H] = sigmoid(z[:, : 2 * H])
        z[:, 2 * H : 3 * H] = xp(x).tanh(z[:, 2 * H : 3 * H])
        z[:, 3 * H :] = sigmoid(z[:, 3 * H :])
        i, f, g, o = xp(x).split(z, 4, axis=1)
        c = f * c + i * g
        h = o * xp(x).tanh(c)
        y[:, t, :H], y[:, t, H:] = h, c
    return y, (x, w_ih, w_hh, h0, c0, gates, y)


def lstm_backward(dy, saved):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H).

    Backpropagation through time: the chain rule, last frame first. h_t and c_t are used twice, by whoever reads y and
    by frame t + 1, so two gradients add up in dh and in dc. Inside a frame, with s = tanh(c_t):

        h = o s                 do = dh s            dc += dh o (1 - s²)
        c = f c_{t-1} + i g     di = dc g            df = dc c_{t-1}          dg = dc i
        i = σ(z_i), ...         dz_i = di i (1 - i)  dz_f, dz_o likewise      dz_g = dg (1 - g²)

    and out of the frame, to its past: dc_{t-1} = dc f, dh_{t-1} = dz w_hhᵀ. The weights were the same in all frames:
    their gradients are sums over frames, and wait until all dz are known.
    """
    x, w_ih, w_hh, h0, c0, gates, y = saved
    T, H = dy.shape[1], len(w_hh)
    dz = xp(gates).empty_like(gates)
    dh, dc = xp(h0).zeros_like(h0), xp(c0).zeros_like(c0)
    for t in reversed(range(T)):
        i, f, g, o = xp(gates).split(gates[:, t], 4, axis=1)
        c_before = y[:, t - 1, H:] if t > 0 else c0
        s = xp(y).tanh(y[:, t, H:])
        dh = dh + dy[:, t, :H]
        dc = dc + dy[:, t, H:] + dh * o * (1 - s * s)
        dz[:, t, :H] = dc * g * i * (1 - i)
        dz[:, t, H : 2 * H] = dc * c_before * f * (1 - f)
        dz[:, t, 2 * H : 3 * H] = dc * i * (1 - g * g)
        dz[:, t, 3 * H :] = dh * s * o * (1 - o)
        dc = dc * f
        dh = dz[:, t] @ w_hh.T

    h_before = xp(y).concatenate([h0[:, None], y[:, :-1, :H]], axis=1)[:, :T]
    sum_over = {"axes": ((0, 1), (0, 1))}
    dw_ih, dw_hh = xp(x).tensordot(x, dz, **sum_over), xp(x).tensordot(h_before, dz, **sum_over)
    return dz @ w_ih.T, dw_ih, dw_hh, dz.sum(axis=(0, 1)), dh, dc


lstm = Op("lstm", lstm_forward, lstm_backward)
