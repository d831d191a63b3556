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

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from numba import njit

from minicodec.backend import Op, xp
from minicodec.ops.engine import multiply, multiply_transposed
from minicodec.ops.fastmath import ONE, ZERO, sigmoid32, tanh32

BLOCK = 512  # columns of w at a time, see _add_product


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


# Numba. The products with all frames at once go to the engine; what must go frame by frame is below. A row of the
# batch is computed by itself, every sum over j ascending: the bits depend neither on the other rows, nor on the
# number of threads, nor on where a stream was cut. Threads share out the batch, so a batch of one uses one. (Arrays are
# copied number by number: the first assignment of array to array costs Numba's compiler three seconds.)


def lstm_forward_numba(x, w_ih, w_hh, b, h0, c0):
    """x (B,T,Ci), w_ih (Ci,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H), [h_t | c_t]."""
    x, w_ih, w_hh, b, h0, c0 = (np.ascontiguousarray(a) for a in (x, w_ih, w_hh, b, h0, c0))
    B, T, Ci = x.shape
    H = len(w_hh)
    gates = multiply(x, w_ih[None], np.empty((1, B * T, 4 * H), np.float32), batch_step=0, row_step=Ci)
    gates = gates.reshape(B, T, 4 * H)
    y = frame_by_frame(gates, w_hh, b, h0, c0)
    return y, (x, w_ih, w_hh, h0, c0, gates, y)


def frame_by_frame(gates, w_hh, b, h0, c0):
    """gates (B,T,4H), w_hh (H,4H), b (4H), h0 (B,H), c0 (B,H) -> y (B,T,2H); gates come as x w_ih, leave as i, f, g, o.

    Contiguous float32 arrays.
    """
    B, T, N = gates.shape
    y = np.empty((B, T, N // 2), np.float32)
    _share_out(B, lambda rows: _forward_rows(w_hh, b, h0[rows], c0[rows], gates[rows], y[rows]))
    return y


def lstm_backward_numba(dy, saved, *, needs=(True,) * 6):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H)."""
    x, w_ih, w_hh, h0, c0, gates, y = saved
    B, T, Ci = x.shape
    H = len(w_hh)
    dz, dh, dc = np.empty_like(gates), np.zeros_like(h0), np.zeros_like(c0)
    w_transposed, dy = np.ascontiguousarray(w_hh.T), np.ascontiguousarray(dy)
    _share_out(
        B,
        lambda rows: _backward_rows(
            w_transposed, c0[rows], gates[rows], y[rows], dy[rows], dz[rows], dh[rows], dc[rows]
        ),
    )

    rows = dz.reshape(1, B * T, 4 * H)
    dx = dw_ih = dw_hh = None
    if needs[0]:
        dx = np.empty((1, B * T, Ci), np.float32)
        dx = multiply(dz, w_ih.T[None], dx, batch_step=0, row_step=4 * H).reshape(x.shape)
    if needs[1]:
        dw_ih = multiply_transposed(x, rows, taps=1, P=Ci, batch_step=0, row_step=Ci)[0]
    if needs[2]:
        h_before = np.concatenate([h0[:, None], y[:, :-1, :H]], axis=1)
        dw_hh = multiply_transposed(h_before, rows, taps=1, P=H, batch_step=0, row_step=H)[0]
    return dx, dw_ih, dw_hh, rows[0].sum(axis=0), dh, dc


def _share_out(B, work):
    """work(rows) for slices that make up all B rows, in as many threads as Numba may use.

    Each runs through all frames on its own; Numba's `prange` would do the same and take seconds more to compile.
    """
    threads = min(B, numba.get_num_threads())
    if threads == 1:
        work(slice(0, B))
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [slice(B * n // threads, B * (n + 1) // threads) for n in range(threads)]))


@njit(cache=True, nogil=True)
def _forward_rows(w_hh, b, h0, c0, gates, y):
    """gates (B,T,4H) comes as x w_ih and leaves as i, f, g, o; y (B,T,2H) is filled."""
    B, T, _ = gates.shape
    H = len(w_hh)
    z = np.empty((B, 4 * H), np.float32)
    h, c = h0.copy(), c0.copy()
    one_row = np.empty(4 * H, np.float32)  # compilers vectorise a loop whose outputs do not overlap from row to row
    i, f, g, o = one_row[:H], one_row[H : 2 * H], one_row[2 * H : 3 * H], one_row[3 * H :]
    for t in range(T):
        for row in range(B):
            for n in range(4 * H):
                z[row, n] = gates[row, t, n] + b[n]
        _add_product(h, w_hh, z, t % 2 == 1)
        for row in range(B):
            for j in range(H):
                i[j], f[j] = sigmoid32(z[row, j]), sigmoid32(z[row, H + j])
                g[j], o[j] = tanh32(z[row, 2 * H + j]), sigmoid32(z[row, 3 * H + j])
                c[row, j] = f[j] * c[row, j] + i[j] * g[j]
                h[row, j] = o[j] * tanh32(c[row, j])
            for n in range(4 * H):
                gates[row, t, n] = one_row[n]
            for j in range(H):
                y[row, t, j], y[row, t, H + j] = h[row, j], c[row, j]


@njit(cache=True, nogil=True)
def _backward_rows(w_transposed, c0, gates, y, dy, dz, dh, dc):
    """dz (B,T,4H) is filled; dh, dc (B,H) come as zeros and leave as the gradients of h0 and c0."""
    B, T, _ = gates.shape
    H = c0.shape[1]
    dz_t = np.empty((B, 4 * H), np.float32)
    one_row = np.empty(4 * H, np.float32)
    dz_i, dz_f, dz_g, dz_o = one_row[:H], one_row[H : 2 * H], one_row[2 * H : 3 * H], one_row[3 * H :]
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
                dh[row, j] = ZERO
            for n in range(4 * H):
                dz_t[row, n] = one_row[n]
                dz[row, t, n] = one_row[n]
        _add_product(dz_t, w_transposed, dh, t % 2 == 1)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_product(a, w, out, from_the_right):
    """out (B,N) += a (B,P) w (P,N), each sum over p ascending ("contract" fuses a product and its addition, no more).

    Eight rows of w at a time, so that each number of `out` is loaded and stored once per eight products; in blocks of
    columns, so that these eight rows stay in the L1 cache for the next row of the batch. A layer's w is larger than
    the L2 cache: walking the blocks to and fro finds what the last step left there.
    """
    B, P = a.shape
    N = w.shape[1]
    blocks = -(-N // BLOCK)
    for k in range(blocks):
        block = blocks - 1 - k if from_the_right else k
        first, last = block * BLOCK, min((block + 1) * BLOCK, N)
        whole = P // 8 * 8
        for p in range(0, whole, 8):
            w0, w1, w2, w3 = w[p, first:last], w[p + 1, first:last], w[p + 2, first:last], w[p + 3, first:last]
            w4, w5, w6, w7 = w[p + 4, first:last], w[p + 5, first:last], w[p + 6, first:last], w[p + 7, first:last]
            for row in range(B):
                a0, a1, a2, a3 = a[row, p], a[row, p + 1], a[row, p + 2], a[row, p + 3]
                a4, a5, a6, a7 = a[row, p + 4], a[row, p + 5], a[row, p + 6], a[row, p + 7]
                s = out[row, first:last]
                for n in range(last - first):
                    low = s[n] + a0 * w0[n] + a1 * w1[n] + a2 * w2[n] + a3 * w3[n]
                    s[n] = low + a4 * w4[n] + a5 * w5[n] + a6 * w6[n] + a7 * w7[n]
        for p in range(whole, P):
            for row in range(B):
                for n in range(first, last):
                    out[row, n] += a[row, p] * w[p, n]


lstm.add("numba", lstm_forward_numba, lstm_backward_numba)
