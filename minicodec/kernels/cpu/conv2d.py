"""The fast 2-D convolution: all taps of all frames in one product over overlapping rows. Definition: ops/conv2d.py.

Write the frames of one item of x one after the other on a line, with pf zeros in front of each: the zeros that follow a
frame are those in front of the next. On this line windows lie at equal distances, across the ends of frames too, so
all taps of all frames are one product, as in `conv1d`. A window that straddles two frames is computed for nothing and
dropped: about pf of them for each F.

Items go one by one, because a spectrogram's feature maps are large: a line is written anew for each item, where a
padded copy of all of x would claim fresh memory, which costs more than the copying.
"""

from typing import NamedTuple

import numpy as np

from minicodec.kernels.cpu.engine.products import Packed, multiply, multiply_transposed, pack
from minicodec.kernels.cpu.engine.tile import LANES
from minicodec.ops.conv2d import conv2d, conv2d_backward, conv2d_forward, output_length
from minicodec.threads import share_items


def fits_a_line(w, stride, dilation, padding):
    """Steps and margins as in a discriminator's layers; what others need, the definition does."""
    Kt, Kf = w.shape[:2]
    (st, sf), (dt, df), (pt, pf) = stride, dilation, padding
    return st == df == 1 and sf <= Kf and pf < Kf and pt <= (Kt - 1) * dt


def empty_line(T, F, C, margin, left, pitch, slack):
    """(line, inside): zeros in a row, and the view of them, (T,F,C), where an item goes.

    Of margin + T + margin frames, `pitch` positions each, the view leaves out the margins and the first `left`
    positions of a frame. The line ends in `slack` more positions, for the last windows to end in.
    """
    frames = margin + T + margin
    line = np.zeros((frames * pitch + slack) * C, np.float32)
    inside = line[: frames * pitch * C].reshape(frames, pitch, C)[margin : margin + T, left : left + F]
    return line, inside


class Band(NamedTuple):
    """Weights (Kt,Kf,Ci,Co) for rows of n neighbouring windows, packed."""

    packed: Packed
    n: int
    step: int  # from row to row on the line, in numbers
    Co: int


def band_of(w, stride):
    """w (Kt,Kf,Ci,Co) as `correlate_line` multiplies with it.

    Few channels would leave most of a vector idle. So n windows become a row, wider by (n - 1)·stride positions, and w
    a band matrix with a copy for each of them, shifted: one row times all copies makes n neighbouring outputs.
    """
    Kt, Kf, Ci, Co = w.shape
    n = max(1, LANES // Co)
    band = np.zeros((Kt, Kf + (n - 1) * stride, Ci, n, Co), np.float32)
    for i in range(n):
        band[:, i * stride : i * stride + Kf, :, i] = w
    return Band(pack(band.reshape(Kt, -1, n * Co)), n, n * stride * Ci, Co)


def correlate_line(line, band, tap_step, shape, bias=None, **finish):
    """Windows of Kf positions on the line times w (Kt,Kf,Ci,Co) -> y (*shape,Co), shape (T,windows).

    As w, so the bias (Co) becomes n copies. `finish`: what else `multiply` does to its outputs.
    """
    windows = shape[0] * shape[1]
    y = np.empty((1, -(-windows // band.n), band.n * band.Co), np.float32)
    bias = None if bias is None else np.tile(bias, band.n)
    multiply(line, band.packed, y, batch_step=0, row_step=band.step, tap_step=tap_step, bias=bias, **finish)
    return y.reshape(-1, band.Co)[:windows].reshape(*shape, band.Co)


def conv2d_forward_numba(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co)."""
    if not fits_a_line(w, stride, dilation, padding):
        return conv2d_forward(x, w, stride=stride, dilation=dilation, padding=padding)
    return item_by_item(x, w, stride, dilation, padding), (x, w)


def item_by_item(x, w, stride, dilation, padding, **finish):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co), if they fit a line; `finish` as for `correlate_line`."""
    (B, T, F, Ci), (Kt, Kf, _, Co) = x.shape, w.shape
    (pt, pf), sf, dt = padding, stride[1], dilation[0]
    To, Fo = output_length(T + 2 * pt, Kt, 1, dt), output_length(F + 2 * pf, Kf, sf, 1)
    if To < 1 or Fo < 1:
        raise ValueError(f"conv2d: {T + 2 * pt} x {F + 2 * pf} is smaller than one window")
    windows = -(-(F + pf) // sf)  # of one frame, those that straddle included
    y, band = np.empty((B, To, Fo, Co), np.float32), band_of(w, sf)

    def items(first, last):
        line, inside = empty_line(T, F, Ci, pt, pf, windows * sf, Kf + LANES * sf)
        for x_b, y_b in zip(x[first:last], y[first:last], strict=True):
            inside[...] = x_b
            y_b[...] = correlate_line(line, band, dt * windows * sf * Ci, (To, windows), **finish)[:, :Fo]

    share_items(B, items)
    return y


def conv2d_backward_numba(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0), needs=(True, True)):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co)."""
    if not fits_a_line(saved[1], stride, dilation, padding):
        return conv2d_backward(dy, saved, stride=stride, dilation=dilation, padding=padding)
    return backward_item_by_item(lambda b: dy[b], saved, dy.shape, stride, dilation, padding, needs)


def backward_item_by_item(dy_of, saved, dy_shape, stride, dilation, padding, needs):
    """dy_of(b) (To,Fo,Co), called once for each item -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co).

    dy goes on a line too, a position for each window of x. Then dw is the transposed product. In dx, bins that are
    equal modulo sf have met the same taps: every sf-th one. So each of the sf classes is a correlation of dy with
    those taps in reverse.
    """
    x, w = saved
    (B, T, F, Ci), (Kt, Kf, _, Co), (_, To, Fo, _) = x.shape, w.shape, dy_shape
    (pt, pf), sf, dt = padding, stride[1], dilation[0]
    windows = -(-(F + pf) // sf)
    margin, left = (Kt - 1) * dt - pt, (Kf - 1 - pf) // sf  # what the first bin of dx sees before the first dy
    dx = np.empty(x.shape if needs[0] else 0, np.float32)
    dws = np.empty((B if needs[1] else 0, Kt, Kf * Ci, Co), np.float32)
    classes = []
    for residue in range(sf) if needs[0] else ():
        taps = w[::-1, residue::sf][:, ::-1].swapaxes(2, 3)
        f = (residue - pf) % sf  # the first bin of its class; it met tap `residue` in window (f + pf) / sf
        classes.append((f, left + (f + pf) // sf - (taps.shape[1] - 1), band_of(taps, 1)))

    def items(first, last):
        line, inside = empty_line(T, F, Ci, pt, pf, windows * sf, Kf + LANES * sf)
        dy_line, dy_inside = empty_line(To, Fo, Co, margin, left, windows, Kf + LANES)
        dy_rows = dy_line[(margin * windows + left) * Co :][: To * windows * Co].reshape(1, -1, Co)
        for b in range(first, last):
            dy_inside[...] = dy_of(b)
            if needs[1]:
                inside[...] = x[b]
                steps = {"batch_step": 0, "row_step": sf * Ci, "tap_step": dt * windows * sf * Ci}
                dws[b] = multiply_transposed(line, dy_rows, taps=Kt, P=Kf * Ci, **steps)
            for f, start, band in classes:
                bins = dx[b, :, f::sf]
                found = correlate_line(dy_line[start * Co :], band, dt * windows * Co, (T, windows))
                bins[...] = found[:, : bins.shape[1]]

    share_items(B, items)
    return dx if needs[0] else None, dws.sum(axis=0).reshape(w.shape) if needs[1] else None


conv2d.add("numba", conv2d_forward_numba, conv2d_backward_numba)
