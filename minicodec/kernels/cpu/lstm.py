"""The fast LSTM. Definition: ops/lstm.py.

The products with all frames at once go to the engine; what must go frame by frame is in lstm_loops.py. Every output is
the sum over p ascending: its bits depend neither on the other rows, nor on the number of threads, nor on where a stream
was cut.
"""

import numpy as np

from minicodec.kernels.cpu import lstm_loops as loops
from minicodec.kernels.cpu.engine.products import multiply, multiply_transposed, pack
from minicodec.kernels.cpu.engine.team import new_team
from minicodec.kernels.cpu.engine.tile import COLUMNS
from minicodec.kernels.cpu.lstm_loops import GROUP
from minicodec.ops.lstm import lstm
from minicodec.threads import share_out, threads_for

LONG = 8  # frames for which packing the weights pays


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
    h = np.stack([padded_to_tiles(h0, H)] * 2)
    z = padded_to_tiles(gates[:, 0], 4 * whole_groups(H))
    _run(T, H, loops.forward, *w_hh, h, z, c0.copy(), gates, y)
    return y


def lstm_backward_numba(dy, saved, *, needs=(True,) * 6):
    """dy (B,T,2H) -> dx (B,T,Ci), dw_ih (Ci,4H), dw_hh (H,4H), db (4H), dh0 (B,H), dc0 (B,H)."""
    x, w_ih, w_hh, h0, c0, gates, y = saved
    B, T, Ci = x.shape
    H = len(w_hh)
    dz, dc, dy = np.empty_like(gates), np.zeros_like(c0), np.ascontiguousarray(dy)
    dz_t = np.zeros((2, *padded_to_tiles(gates[:, 0], 4 * H).shape), np.float32)
    dh = padded_to_tiles(dc, whole_groups(H))
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


def padded_to_tiles(a, N):
    """a (B,n) -> a copy with zeros around it, (B',N): a whole number of tiles."""
    B, n = a.shape
    copy = np.zeros((1 if B == 1 else -(-B // 4) * 4, N), np.float32)
    copy[:B, :n] = a
    return copy


def _run(T, H, loop, *args):
    """loop(team, rank, *args) on all threads that have something to do."""
    threads = min(threads_for(multiplications=4 * T * H * H), whole_groups(H) // GROUP)
    team = new_team(threads)

    def take_part(first, last):
        alone = last - first == threads  # all threads have work already: nobody else will come
        loop(new_team(1) if alone else team, first, *args)

    share_out(threads, threads, take_part)


lstm.add("numba", lstm_forward_numba, lstm_backward_numba)
