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

from minicodec.backend import Op, xp
from minicodec.ops import lstm_loops as loops
from minicodec.ops.engine import multiply, multiply_transposed, pack
from minicodec.ops.lstm_cuda import lstm_backward_cupy, lstm_forward_cupy
from minicodec.ops.lstm_loops import GROUP
from minicodec.ops.microkernel import COLUMNS
from minicodec.ops.team import new_team
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


# Numba. The products with all frames at once go to the engine; what must go frame by frame to ops/lstm_loops.py. Every
# output is the sum over p ascending: its bits depend neither on the other rows, nor on the number of threads, nor on
# where a stream was cut.

LONG = 8  # frames for which packing the weights pays
SMALL = 1_000_000  # T · H²: with less, waking a second thread takes longer than the work


def lstm_forward_numba(x, w_ih, w_hh, b, h0, c0):
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H), [h_t | c_t]."""
    x, w_ih, w_hh, b, h0, c0 = (np.ascontiguousarray(a) for a in (x, w_ih, w_hh, b, h0, c0))
    gates, y = run(x, w_ih[None], as_panels(w_hh, 4, x.shape[1]), b, h0, c0)
    return y, (x, w_ih, w_hh, h0, c0, gates, y)


def run(x, w_ih, w_hh, b, h0, c0):
    """The forward on weights that a stream can pack once, w_ih by `pack`, w_hh by `as_panels`; all else contiguous.

    -> gates (B,T,4H), y (B,T,2H).
    """
    (B, T, Ci), H = x.shape, h0.shape[1]
    gates = np.empty((1, B * T, 4 * H), np.float32)
    gates = multiply(x, w_ih, gates, batch_step=0, row_step=Ci, bias=b).reshape(B, T, 4 * H)
    return gates, all_frames(gates, w_hh, h0, c0)


def all_frames(gates, w_hh, h0, c0):
    """gates (B,T,4H), x w_ih + b, become i, f, g, o; -> y (B,T,2H)."""
    (B, T, _), H = gates.shape, h0.shape[1]
    y = np.empty((B, T, 2 * H), np.float32)
    h = np.stack([padded(h0, H), padded(h0, H)])
    _run(T, H, loops.forward, *w_hh, h, padded(gates[:, 0], 4 * whole_groups(H)), c0.copy(), gates, y)
    return y


def lstm_backward_numba(dy, saved, *, needs=(True,) * 6):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H)."""
    x, w_ih, w_hh, h0, c0, gates, y = saved
    B, T, Ci = x.shape
    H = len(w_hh)
    dz, dc, dy = np.empty_like(gates), np.zeros_like(c0), np.ascontiguousarray(dy)
    dz_t, dh = np.zeros((2, *padded(gates[:, 0], 4 * H).shape), np.float32), padded(dc, whole_groups(H))
    _run(T, H, loops.backward, *as_panels(w_hh.T, 1, T), dz_t, dh, dc, c0, gates, y, dy, dz)

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
    return dx, dw_ih, dw_hh, flat[0].sum(axis=0), dh[:B, :H], dc


def as_panels(w, parts, T):
    """w (P,parts·H), packed or, for few frames, as it is -> its numbers, and the steps (row, panel) between them.

    Each part gets columns of zeros, up to whole groups; packed, a panel of COLUMNS columns is a run of its own.
    """
    P, N = w.shape
    wide = whole_groups(N // parts)
    if wide != N // parts:
        w = np.pad(w.reshape(P, parts, -1), ((0, 0), (0, 0), (0, wide - N // parts))).reshape(P, parts * wide)
    if T < LONG and w.flags.c_contiguous:
        return w.reshape(-1), (w.shape[1], COLUMNS)
    return pack(w[None]).panels.reshape(-1), (COLUMNS, P * COLUMNS)


def whole_groups(N):
    """N columns, up to a whole number of groups."""
    return -(-N // GROUP) * GROUP


def padded(a, N):
    """a (B,n) -> a copy with zeros around it, (B',N): a whole number of tiles."""
    B, n = a.shape
    copy = np.zeros((1 if B == 1 else -(-B // 4) * 4, N), np.float32)
    copy[:B, :n] = a
    return copy


def _run(T, H, loop, *args):
    """loop(team, leads, *args) on all threads that have something to do."""
    threads = min(numba.get_num_threads(), whole_groups(H) // GROUP) if T * H * H >= SMALL else 1
    team = new_team(threads)

    def take_part(first, last):
        alone = last - first == threads  # all threads have work already: nobody else will come
        loop(new_team(1) if alone else team, first == 0, *args)

    share_out(threads, threads, take_part)


lstm.add("numba", lstm_forward_numba, lstm_backward_numba)
lstm.add("cupy", lstm_forward_cupy, lstm_backward_cupy)
