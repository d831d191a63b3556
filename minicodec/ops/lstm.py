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

import numba
import numpy as np
from numba import njit

from minicodec.backend import Op, xp
from minicodec.ops.engine import multiply, multiply_transposed, pack
from minicodec.ops.engine_loops import inner
from minicodec.ops.fastmath import ONE, sigmoid32, tanh32
from minicodec.ops.lstm_cuda import lstm_backward_cupy, lstm_forward_cupy
from minicodec.ops.microkernel import COLUMNS, LANES, VECTORS, address, make_tile
from minicodec.ops.workers import share_out


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

    h_before = xp(y).concatenate([h0[:, None], y[:, :-1, :H]], axis=1)
    sum_over = {"axes": ((0, 1), (0, 1))}
    dw_ih, dw_hh = xp(x).tensordot(x, dz, **sum_over), xp(x).tensordot(h_before, dz, **sum_over)
    return dz @ w_ih.T, dw_ih, dw_hh, dz.sum(axis=(0, 1)), dh, dc


lstm = Op("lstm", lstm_forward, lstm_backward)


# Numba. The products with all frames at once go to the engine; what must go frame by frame is below. The recurrent
# weights are read anew in every frame, so how they lie in memory decides: in panels, each a run of numbers that a tile
# of the micro-kernel reads from front to back, for one, two or four rows of the batch at once. Every output is the sum
# over p ascending: its bits depend neither on the other rows, nor on the number of threads, nor on where a stream was
# cut. Threads share out the batch, so a batch of one uses one.

GROUP = 4 * COLUMNS  # columns that a tile of one row covers; those of two and of four rows cover a half and a quarter
LONG = 8  # frames for which packing the weights pays
one_row, two_rows = make_tile(1, VECTORS, LANES, 4), make_tile(2, VECTORS, LANES, 2)
four_rows = make_tile(4, VECTORS, LANES)


def lstm_forward_numba(x, w_ih, w_hh, b, h0, c0):
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H), [h_t | c_t]."""
    x, w_ih, w_hh, b, h0, c0 = (np.ascontiguousarray(a) for a in (x, w_ih, w_hh, b, h0, c0))
    gates, y = run(x, w_ih[None], as_panels(w_hh, x.shape[1]), b, h0, c0)
    return y, (x, w_ih, w_hh, h0, c0, gates, y)


def run(x, w_ih, w_hh, b, h0, c0):
    """The forward on weights that a stream can pack once, w_ih by `pack`, w_hh by `as_panels`; all else contiguous.

    -> gates (B,T,4H), y (B,T,2H).
    """
    (B, T, Ci), H = x.shape, h0.shape[1]
    gates = np.empty((1, B * T, 4 * H), np.float32)
    gates = multiply(x, w_ih, gates, batch_step=0, row_step=Ci, bias=b).reshape(B, T, 4 * H)
    y = np.empty((B, T, 2 * H), np.float32)

    panels, steps = w_hh

    def rows(first, last):
        some = slice(first, last)
        z, one = padded(gates[some, 0]), np.empty(4 * H, np.float32)
        _forward_rows(panels, steps, padded(h0[some]), z, c0[some].copy(), one, gates[some], y[some])

    share_out(min(B, numba.get_num_threads()), B, rows)
    return gates, y


def lstm_backward_numba(dy, saved, *, needs=(True,) * 6):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H)."""
    x, w_ih, w_hh, h0, c0, gates, y = saved
    B, T, Ci = x.shape
    H = len(w_hh)
    dz, dh, dc = np.empty_like(gates), np.zeros_like(h0), np.zeros_like(c0)
    dy = np.ascontiguousarray(dy)
    panels, steps = as_panels(w_hh.T, T)

    def rows(first, last):
        some = slice(first, last)
        dh_t, dz_t, one = padded(dh[some]), padded(gates[some, 0]), np.empty(4 * H, np.float32)
        frames = c0[some], gates[some], y[some], dy[some], dz[some]
        _backward_rows(panels, steps, *frames, dh_t, dz_t, dc[some], one)
        dh[some] = dh_t[: last - first, :H]

    share_out(min(B, numba.get_num_threads()), B, rows)

    flat = dz.reshape(1, B * T, 4 * H)
    dx = dw_ih = dw_hh = None
    if needs[0]:
        dx = np.empty((1, B * T, Ci), np.float32)
        dx = multiply(dz, w_ih.T[None], dx, batch_step=0, row_step=4 * H).reshape(x.shape)
    if needs[1]:
        dw_ih = multiply_transposed(x, flat, taps=1, P=Ci, batch_step=0, row_step=Ci)[0]
    if needs[2]:
        h_before = np.concatenate([h0[:, None], y[:, :-1, :H]], axis=1)
        dw_hh = multiply_transposed(h_before, flat, taps=1, P=H, batch_step=0, row_step=H)[0]
    return dx, dw_ih, dw_hh, flat[0].sum(axis=0), dh, dc


def as_panels(w, T):
    """w (P,N) -> it as one run of numbers, with zeros up to whole groups of columns; and the steps (from row to row,
    from panel to panel). Packed, a panel of COLUMNS columns is a run of its own; for a few frames, w stays as it is.
    """
    P, N = w.shape
    if N % GROUP:
        w = np.pad(w, ((0, 0), (0, -N % GROUP)))
    if T < LONG and w.flags.c_contiguous:
        return w.reshape(-1), (w.shape[1], COLUMNS)
    return pack(w[None]).panels.reshape(-1), (COLUMNS, P * COLUMNS)


def padded(a):
    """a (B,N) -> a copy with zeros around it, (B',N'): a whole number of tiles, and of groups of columns."""
    B, N = a.shape
    copy = np.zeros((B if B < 3 else -(-B // 4) * 4, -(-N // GROUP) * GROUP), np.float32)
    copy[:B, :N] = a
    return copy


@inner
def _product(a, P, w, steps, out, from_the_right):
    """a (B,P) times w (P,N) in panels -> out (B,N), both `padded`.

    A layer's w is larger than the L2 cache: walking the panels to and fro finds what the last frame left there.
    """
    w_row, w_panel = steps
    B, N = out.shape
    a_row = a.shape[1]
    groups = N // GROUP
    for k in range(groups):
        group = groups - 1 - k if from_the_right else k
        b, c = address(w) + 4 * (4 * group * w_panel), address(out) + 4 * group * GROUP
        if B == 1:
            one_row(address(a), 0, 1, b, w_row, w_panel, P, c, 0, 0)
        elif B == 2:
            for j in range(0, 4, 2):
                two_rows(address(a), a_row, 1, b + 4 * j * w_panel, w_row, w_panel, P, c + 4 * j * COLUMNS, N, 0)
        else:
            for j in range(4):
                for m in range(0, B, 4):
                    a_m, c_m = address(a) + 4 * m * a_row, c + 4 * (m * N + j * COLUMNS)
                    four_rows(a_m, a_row, 1, b + 4 * j * w_panel, w_row, 0, P, c_m, N, 0)


@njit(cache=True, nogil=True)
def _forward_rows(w, steps, h, z, c, one, gates, y):
    """gates (B,T,4H) comes as x w_ih + b and leaves as i, f, g, o; y (B,T,2H) is filled.

    h (B,H) and z (B,4H), both `padded`, and c (B,H) are the state and room for the gates to come. So is one (4H):
    compilers vectorise a loop whose outputs do not overlap from row to row.
    """
    (B, T, _), H = gates.shape, c.shape[1]
    i, f, g, o = one[:H], one[H : 2 * H], one[2 * H : 3 * H], one[3 * H :]
    for t in range(T):
        _product(h, H, w, steps, z, t % 2 == 1)
        for row in range(B):
            for n in range(4 * H):
                z[row, n] += gates[row, t, n]
            for j in range(H):
                i[j], f[j] = sigmoid32(z[row, j]), sigmoid32(z[row, H + j])
                g[j], o[j] = tanh32(z[row, 2 * H + j]), sigmoid32(z[row, 3 * H + j])
                c[row, j] = f[j] * c[row, j] + i[j] * g[j]
                h[row, j] = o[j] * tanh32(c[row, j])
            for n in range(4 * H):
                gates[row, t, n] = one[n]
            for j in range(H):
                y[row, t, j], y[row, t, H + j] = h[row, j], c[row, j]


@njit(cache=True, nogil=True)
def _backward_rows(w, steps, c0, gates, y, dy, dz, dh, dz_t, dc, one):
    """w holds w_hhᵀ. dz (B,T,4H) is filled; dh and dc (B,H) come as zeros and leave as the gradients of h0 and c0.

    dh and dz_t (B,4H) are `padded`; dz_t and one (4H) are room to work in.
    """
    (B, T, _), H = gates.shape, c0.shape[1]
    dz_i, dz_f, dz_g, dz_o = one[:H], one[H : 2 * H], one[2 * H : 3 * H], one[3 * H :]
    for t in range(T - 1, -1, -1):
        for row in range(B):
            c_before = y[row, t - 1, H:] if t > 0 else c0[row]
            for j in range(H):
                i, f, g, o = gates[row, t, j], gates[row, t, H + j], gates[row, t, 2 * H + j], gates[row, t, 3 * H + j]
                s = tanh32(y[row, t, H + j])
                dh_j = dh[row, j] + dy[row, t, j]
                dc_j = dc[row, j] + dy[row, t, H + j] + dh_j * o * (ONE - s * s)
                dz_i[j] = dc_j * g * i * (ONE - i)
                dz_f[j] = dc_j * c_before[j] * f * (ONE - f)
                dz_g[j] = dc_j * i * (ONE - g * g)
                dz_o[j] = dh_j * s * o * (ONE - o)
                dc[row, j] = dc_j * f
            for n in range(4 * H):
                dz_t[row, n] = one[n]
                dz[row, t, n] = one[n]
        _product(dz_t, 4 * H, w, steps, dh, t % 2 == 1)


lstm.add("numba", lstm_forward_numba, lstm_backward_numba)
lstm.add("cupy", lstm_forward_cupy, lstm_backward_cupy)
