"""Matrix products over overlapping rows: what convolutions, transposed convolutions and linear layers are made of.

With channels last, the K frames that a window of x (B,T,C) sees are K·C numbers that lie one after the other in
memory, and the next window begins stride·C numbers later. So a convolution IS a product of matrices

    out[b, m, n] = Σ_p  x[b·batch_step + m·row_step + p] · w[p, n]          x as one flat run of numbers

whose rows overlap: no copy ("im2col") spells them out. `multiply` computes it, `multiply_transposed` the gradient of
w, and the ops name steps and weights. A row is given as K runs of P numbers (taps), `tap_step` apart; without dilation
they touch and are one run, otherwise they are added up tap by tap.

Three rooms. The inner loop, and why it is written as it is: tile.py. The loops around it, compiled, which
take addresses and check nothing: loops.py. This file has the only ways in, which check everything.

One fixed order. Every output is summed on its own, over blocks of DEPTH terms that begin at fixed places: p ascending
inside a block, blocks ascending. (Blocks keep a panel of w in the cache, and sums of sums round less than one long
sum.) Nothing in that order depends on how many rows there are, on where a row stands, on the tile, or on the number of
threads: an audio file convolved in chunks gives the same bits as convolved whole. BLAS promises no such thing. Between
machines one thing can differ: those that multiply and add in one instruction round once (all of the last ten years),
the others twice.

Threads share out the outputs, never a sum. float32 only.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from minicodec.kernels.cpu.engine import loops
from minicodec.kernels.cpu.engine.fastmath import ONE, ZERO
from minicodec.kernels.cpu.engine.loops import GROUP
from minicodec.kernels.cpu.engine.tile import COLUMNS, LANES, ROWS
from minicodec.threads import share_out, threads_for

STRIP = 65536  # numbers of x per strip of rows: 256 KiB stay in the L2 cache while all panels of w pass by
FEW_ROWS = 48  # so few rows use a panel too rarely for packing it to pay

ACTIVATIONS = (None, "elu", "leaky_relu")
NO_NUMBERS = np.zeros(0, np.float32)
NO_NUMBERS.flags.writeable = False


class Packed(NamedTuple):
    """Weights (K,P,N) as the tiles read them; `pack` makes it, once for weights that stay as they are."""

    panels: Any  # (N/COLUMNS,K,P,COLUMNS), zeros where the last panel exceeds N
    shape: tuple[int, int, int]  # (K,P,N)


def pack(w):
    """w (K,P,*N), of any strides -> Packed, for `multiply`."""
    (K, P), N = w.shape[:2], math.prod(w.shape[2:])
    if w.shape[-1] % COLUMNS:
        padded = np.zeros((K, P, -(-N // COLUMNS) * COLUMNS), np.float32)
        padded[..., :N] = w.reshape(K, P, N)
        w = padded
    w = w.reshape(*w.shape[:-1], -1, COLUMNS)  # a view, whatever w's strides, so that all is copied only once
    w = np.moveaxis(w, (0, 1), (-3, -2))
    panels = np.empty(w.shape, np.float32)

    def share(first, last):  # blocks of 32 rows: the cache cannot hold a line of more, 4 KiB or more apart
        for p in range(32 * first, min(32 * last, P), 32):
            panels[..., p : p + 32, :] = w[..., p : p + 32, :]

    share_out(threads_for(w.size), -(-P // 32), share)
    return Packed(panels.reshape(-1, K, P, COLUMNS), (K, P, N))


def unpack(packed):
    """Packed -> the weights (K,P,N) that `pack` was given."""
    K, P, N = packed.shape
    return np.moveaxis(packed.panels, 0, 2).reshape(K, P, -1)[..., :N]


def multiply(
    x,
    w,
    out,
    *,
    batch_step,
    row_step,
    tap_step=0,
    also=None,
    add=False,
    bias=None,
    activation=None,
    derivative_at=None,
    slope=0.2,
):
    """x (*x), w (K,P,N), out (B,M,N): out[b,m] = Σ_k Σ_p x.flat[b·batch_step + m·row_step + k·tap_step + p] · w[k,p].

    x and out are contiguous, w need not be, and its last axis may come as several; or w is Packed. Returns out, all of
    it overwritten. What else is to happen to an output costs least here, while it is in the cache, in this order:

        add             what out held is added
        also            (x2 (B,M,P2), w2 (1,P2,N) Packed): x2 · w2 is added, one more product
        bias            (N), added
        activation      "elu" or "leaky_relu" (with `slope`) is applied; or, with
        derivative_at   y like out, y = activation(z): out is multiplied by the derivative of the activation at z
    """
    batches, rows, N = out.shape
    packed = isinstance(w, Packed)
    taps, P = w.shape[:2]
    _check("multiply", x, w.panels if packed else w, out, (taps, P, N), w.shape, batch_step, row_step, tap_step)
    x2, w2, P2 = _check_also(out, also) if also is not None else (None, None, 0)
    _check_finish(out, bias, activation, derivative_at)
    if tap_step == P:
        taps, P = 1, taps * P
    if not packed and (batches * rows > FEW_ROWS or N % COLUMNS or not w.flags.c_contiguous):
        w, packed = pack(w), True
    w, w_row, w_panel = (w.panels, COLUMNS, taps * P * COLUMNS) if packed else (w, N, COLUMNS)
    threads = threads_for(multiplications=batches * rows * (w.size + P2 * N))
    longest = max(8, min(STRIP // (row_step + P2), -(-rows // threads)) // ROWS) * ROWS
    strips = -(-rows // longest)
    strip = -(-rows // (strips * ROWS)) * ROWS  # as equal as tiles allow, so that threads get equal shares
    room = loops.TOGETHER + (strip * COLUMNS if N % COLUMNS else 0)
    args = (
        *(_read_only(x), _read_only(w), _read_only(x2), _read_only(w2), out.reshape(-1)),
        *((batch_step, row_step, tap_step), (w_row, w_panel), (rows, taps, P, P2, N), (strips, strip, int(add))),
        *(_read_only(bias), _read_only(derivative_at)),
        *_finish(activation, derivative_at, slope),
    )

    def share(first, last):
        loops.multiply_tasks(first, last, np.empty(room, np.float32), *args)

    share_out(threads, batches * strips * -(-N // (GROUP * COLUMNS)), share)
    return out


def multiply_transposed(x, dy, *, taps, P, batch_step, row_step, tap_step=0):
    """x (*x), dy (B,M,N) -> dw (K,P,N), dw[k,p] = Σ_b Σ_m x.flat[b·batch_step + m·row_step + k·tap_step + p] · dy[b,m].

    The gradient of w in `multiply`; K = taps. x and dy are contiguous.
    """
    batches, rows, N = dy.shape
    shape = (taps, P, N)
    _check("multiply_transposed", x, x, dy, shape, shape, batch_step, row_step, tap_step)
    if tap_step == P:
        taps, P = 1, taps * P
    height, width = (2 * ROWS, LANES) if N <= LANES else (ROWS, COLUMNS)
    tiles, panels = -(-P // height), -(-N // width)
    # What the last tiles of a tap write beyond its P rows, the next tap overwrites.
    dw = np.empty((taps * P + tiles * height - P, panels * width), np.float32)
    threads = threads_for(multiplications=batches * rows * P * N)
    block = loops.IN_PLACE if max(row_step, N) <= loops.IN_PLACE[1] else loops.PACKED
    by_panels, room = panels > tiles, block[0] * (height + panels * width)

    def share(first, last, *args):
        loops.transposed_tasks(first, last, np.zeros(room, np.float32), *args)

    for k in range(taps):
        steps = (k * tap_step, batch_step, row_step)
        args = (_read_only(x), _read_only(dy), dw[k * P :], steps, (batches, rows, P, N), block, int(by_panels))
        share_out(threads, panels if by_panels else tiles, share, *args)
    return np.ascontiguousarray(dw[: taps * P, :N]).reshape(shape)


def _check(name, x, w, y, w_expected, w_shape, batch_step, row_step, tap_step):
    """Everything the compiled loops rely on; w_shape is that of w before it was packed."""
    if not x.dtype == w.dtype == y.dtype == np.float32:
        raise ValueError(f"{name}: float32 only, got {x.dtype}, {w.dtype}, {y.dtype}")
    if not (x.flags.c_contiguous and y.flags.c_contiguous):
        raise ValueError(f"{name}: x and the outputs must be contiguous")
    if (*w_shape[:2], math.prod(w_shape[2:])) != w_expected or 0 in w_shape or 0 in y.shape:
        raise ValueError(f"{name}: weights {w_shape} do not fit outputs {y.shape}")
    if min(batch_step, row_step, tap_step) < 0 or row_step == 0:
        raise ValueError(f"{name}: steps must be positive")
    last = (y.shape[0] - 1) * batch_step + (y.shape[1] - 1) * row_step + (w_shape[0] - 1) * tap_step + w_shape[1] - 1
    if last >= x.size:
        raise ValueError(f"{name}: the last row ends at number {last} of x, which has {x.size}")


def _check_also(out, also):
    """(x2, w2) -> x2, the panels of w2, P2."""
    x2, w2 = also
    P2 = w2.shape[1]
    if x2.shape != (*out.shape[:2], P2) or w2.shape != (1, P2, out.shape[2]) or P2 == 0:
        raise ValueError(f"multiply: also {x2.shape} times {w2.shape} does not fit outputs {out.shape}")
    if not (x2.dtype == w2.panels.dtype == np.float32 and x2.flags.c_contiguous):
        raise ValueError(f"multiply: also needs contiguous float32, it is {x2.dtype}")
    return x2, w2.panels, P2


def _check_finish(out, bias, activation, derivative_at):
    """The same for what happens to finished outputs."""
    if activation not in ACTIVATIONS or (activation is None and derivative_at is not None):
        raise ValueError(f"multiply: no activation {activation!r}")
    if bias is not None:
        _check_like("bias", bias, out.shape[2:])
    if derivative_at is not None:
        _check_like("derivative_at", derivative_at, out.shape)


def _check_like(name, a, shape):
    if a.shape != shape or a.dtype != np.float32 or not a.flags.c_contiguous:
        raise ValueError(f"multiply: {name} must be contiguous float32 {shape}, it is {a.dtype} {a.shape}")


def _finish(activation, derivative_at, slope):
    """What the loops call it: which of their three ways, slope, curve (the derivative at y <= 0 is curve·y + slope)."""
    way = loops.DERIVATIVE if derivative_at is not None else loops.ELU if activation == "elu" else loops.LINEAR
    return way, np.float32(slope) if activation == "leaky_relu" else ONE, ONE if activation == "elu" else ZERO


def _read_only(a):
    """A flat view that may not be written, whatever a is (None: empty): all calls run one compiled function."""
    if a is None:
        return NO_NUMBERS
    if a.ndim == 1 and not a.flags.writeable:
        return a
    flat = a.reshape(-1)
    flat.setflags(write=False)
    return flat
