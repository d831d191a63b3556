"""Matrix products over overlapping rows: what convolutions, transposed convolutions and linear layers are made of.

With channels last, the K frames that a window of x (B,T,C) sees are K·C numbers that lie one after the other in
memory, and the next window begins stride·C numbers later. So a convolution IS a product of matrices

    out[b, m, n] = Σ_p  x[b·batch_step + m·row_step + p] · w[p, n]          x as one flat run of numbers

whose rows overlap: no copy ("im2col") spells them out. `multiply` computes it, `multiply_transposed` the gradient of
w, and the ops name steps and weights. A row is given as K runs of P numbers (taps), `tap_step` apart; without dilation
they touch and are one run, otherwise they are added up tap by tap.

One fixed order. Every output is summed on its own, over blocks of DEPTH terms that begin at fixed places: p ascending
inside a block, blocks ascending. (Blocks keep a panel of w in the cache, and sums of sums round less than one long
sum.) Nothing in that order depends on how many rows there are, on where a row stands, or on the number of threads:
an audio file convolved in chunks gives the same bits as convolved whole. BLAS promises no such thing.

Threads share out the outputs, never a sum. The compiled loops take addresses and check nothing; `multiply` and
`multiply_transposed` are the only ways in, and they do. See ops/microkernel.py for the inner loop. float32 only.
"""

import math

import numba
import numpy as np
from numba import njit, prange

from minicodec.ops.microkernel import COLUMNS, LANES, ROWS, VECTORS, make_tile

DEPTH = 256  # terms summed before the sum goes to memory: a panel of w, DEPTH x COLUMNS, fills half the L1 cache
STRIP = 32768  # numbers of x per strip of rows: 128 KiB stay in the L2 cache while all panels of w pass by
NEAR = 64  # numbers between rows that a transposed product reads in place; farther apart, they are packed
FEW_ROWS = 48  # so few rows use a panel too rarely for packing it to pay
SMALL = 1_000_000  # multiplications: with fewer, waking a second thread takes longer than the work

tile, one_row = make_tile(ROWS, VECTORS, LANES), make_tile(1, VECTORS, LANES)
tall_tile, half_row = make_tile(2 * ROWS, 1, LANES), make_tile(1, 1, LANES)
# For functions that only compiled code calls: without an entrance from Python they compile in a third of the time.
inner = njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]


def multiply(x, w, out, *, batch_step, row_step, tap_step=0):
    """x (*x), w (K,P,N), out (B,M,N): out[b,m] = Σ_k Σ_p x.flat[b·batch_step + m·row_step + k·tap_step + p] · w[k,p].

    x and out are contiguous, w need not be, and its last axis may come as several. Returns out, all of it overwritten.
    """
    batches, rows, N = out.shape
    taps, P = w.shape[:2]
    _check("multiply", x, w, out, (taps, P, N), batch_step, row_step, tap_step)
    if tap_step == P:
        taps, P = 1, taps * P
    panels = -(-N // COLUMNS)
    if batches * rows <= FEW_ROWS and N % COLUMNS == 0 and w.flags.c_contiguous:
        w_row, w_panel = N, COLUMNS
    else:
        w = _packed(w, N)
        w_row, w_panel = COLUMNS, taps * P * COLUMNS
    threads = _threads(batches * rows * w.size)
    strip = max(8, min(STRIP // row_step, -(-rows // threads)) // ROWS) * ROWS
    tasks = batches * -(-rows // strip) * panels
    sizes = (strip, rows, taps, P, panels)
    x_steps, w_steps = (batch_step, row_step, tap_step), (w_row, w_panel)
    args = (x.ctypes.data, w.ctypes.data, out.reshape(-1, N), sizes, x_steps, w_steps)
    if threads == 1:
        _multiply_tasks(0, tasks, *args)
    else:
        _multiply_parallel(threads, tasks, *args)
    return out


def multiply_transposed(x, dy, *, taps, P, batch_step, row_step, tap_step=0):
    """x (*x), dy (B,M,N) -> dw (K,P,N), dw[k,p] = Σ_b Σ_m x.flat[b·batch_step + m·row_step + k·tap_step + p] · dy[b,m].

    The gradient of w in `multiply`; K = taps. x and dy are contiguous.
    """
    batches, rows, N = dy.shape
    dw = np.empty((taps, P, N), np.float32)
    _check("multiply_transposed", x, dw, dy, dw.shape, batch_step, row_step, tap_step)
    if tap_step == P:
        taps, P = 1, taps * P
    panels, tiles = -(-P // COLUMNS), -(-N // ROWS)
    threads = _threads(batches * rows * P * N)
    for k in range(taps):
        sums = np.zeros((panels * tiles, ROWS, COLUMNS), np.float32)
        args = (x.reshape(-1)[k * tap_step :], dy.reshape(-1), sums, (batches, rows, P, N), (batch_step, row_step))
        if threads == 1:
            _transposed_tasks(0, len(sums), *args)
        else:
            _transposed_parallel(threads, len(sums), *args)
        columns = sums.reshape(panels, tiles, ROWS, COLUMNS).transpose(0, 3, 1, 2).reshape(-1, tiles * ROWS)
        dw.reshape(-1, P, N)[k] = columns[:P, :N]
    return dw


def _check(name, x, w, y, w_shape, batch_step, row_step, tap_step):
    """Everything the compiled loops rely on."""
    if any(a.dtype != np.float32 for a in (x, w, y)):
        raise ValueError(f"{name}: float32 only, got {x.dtype}, {w.dtype}, {y.dtype}")
    if not (x.flags.c_contiguous and y.flags.c_contiguous):
        raise ValueError(f"{name}: x and the outputs must be contiguous")
    if (*w.shape[:2], math.prod(w.shape[2:])) != w_shape or 0 in w.shape or 0 in y.shape:
        raise ValueError(f"{name}: weights {w.shape} do not fit outputs {y.shape}")
    if min(batch_step, row_step, tap_step) < 0 or row_step == 0:
        raise ValueError(f"{name}: steps must be positive")
    last = (y.shape[0] - 1) * batch_step + (y.shape[1] - 1) * row_step + (w.shape[0] - 1) * tap_step + w.shape[1] - 1
    if last >= x.size:
        raise ValueError(f"{name}: the last row ends at number {last} of x, which has {x.size}")


def _packed(w, N):
    """w (K,P,*N) -> panels of COLUMNS columns, (N/COLUMNS, K, P, COLUMNS), zeros where the last one exceeds N."""
    if w.shape[-1] % COLUMNS:
        padded = np.zeros((*w.shape[:2], -(-N // COLUMNS) * COLUMNS), np.float32)
        padded[..., :N] = w.reshape(*w.shape[:2], N)
        w = padded
    panels = w.reshape(*w.shape[:-1], -1, COLUMNS)  # a view, whatever w's strides, so that all is copied only once
    return np.ascontiguousarray(np.moveaxis(panels, (0, 1), (-3, -2)))


def _threads(multiplications):
    """How many threads the work is worth (`numba.set_num_threads` sets the most)."""
    return numba.get_num_threads() if multiplications >= SMALL else 1


# A task is one strip of rows times one panel of w; panels are the inner loop, so a strip of x stays in the cache.


@njit(cache=True, nogil=True)
def _multiply_tasks(first, last, x, w, out, sizes, x_steps, w_steps):
    strip, rows, taps, P, panels = sizes
    batch_step, row_step, tap_step = x_steps
    w_row, w_panel = w_steps
    strips = -(-rows // strip)
    N = out.shape[1]
    margin = np.empty((strip, COLUMNS), np.float32)  # where a panel that is wider than what is left of `out` goes
    for task in range(first, last):
        panel = task % panels
        b, m_first = task // panels // strips, task // panels % strips * strip
        m_last = min(m_first + strip, rows)
        n = panel * COLUMNS
        half = N - n <= LANES
        fits = N - n >= COLUMNS or N - n == LANES
        if fits:
            c, c_row = out.ctypes.data + 4 * ((b * rows + m_first) * N + n), N
        else:
            c, c_row = margin.ctypes.data, COLUMNS
        add = 0
        for k in range(taps):
            for p in range(0, P, DEPTH):
                a = x + 4 * (b * batch_step + m_first * row_step + k * tap_step + p)
                w_block = w + 4 * (panel * w_panel + (k * P + p) * w_row)
                count = min(DEPTH, P - p)
                _strip_times_panel(half, m_last - m_first, a, row_step, w_block, w_row, count, c, c_row, add)
                add = 1
        if not fits:
            for m in range(m_first, m_last):
                for i in range(n, N):
                    out[b * rows + m, i] = margin[m - m_first, i - n]


@inner
def _strip_times_panel(half, rows, a, a_row, b, b_row, count, c, c_row, add):
    """As many whole tiles as fit, then row by row. Where half a panel is enough: half as wide, twice as tall."""
    m = 0
    if half:
        while m + 2 * ROWS <= rows:
            tall_tile(a + 4 * m * a_row, a_row, 1, b, b_row, count, c + 4 * m * c_row, c_row, add)
            m += 2 * ROWS
        while m < rows:
            half_row(a + 4 * m * a_row, a_row, 1, b, b_row, count, c + 4 * m * c_row, c_row, add)
            m += 1
    else:
        while m + ROWS <= rows:
            tile(a + 4 * m * a_row, a_row, 1, b, b_row, count, c + 4 * m * c_row, c_row, add)
            m += ROWS
        while m < rows:
            one_row(a + 4 * m * a_row, a_row, 1, b, b_row, count, c + 4 * m * c_row, c_row, add)
            m += 1


@njit(cache=True, nogil=True, parallel=True)
def _multiply_parallel(threads, tasks, x, w, out, sizes, x_steps, w_steps):
    for t in prange(threads):
        _multiply_tasks(tasks * t // threads, tasks * (t + 1) // threads, x, w, out, sizes, x_steps, w_steps)


# For the weights, dwᵀ = dyᵀ·x: rows of tiles are channels of dy, columns are numbers of x, and the sum runs over time.
# A task is one tile. What a tile reads in excess of P and N gives sums that nobody looks at.


@njit(cache=True, nogil=True)
def _transposed_tasks(first, last, x, dy, sums, sizes, x_steps):
    batches, rows, P, N = sizes
    batch_step, row_step = x_steps
    tiles = -(-N // ROWS)
    dy_packed = np.zeros((tiles, DEPTH, ROWS), np.float32)
    x_packed = np.zeros((DEPTH, COLUMNS), np.float32)
    b_row = COLUMNS
    b = x_packed.ctypes.data
    for batch in range(batches):
        for m in range(0, rows, DEPTH):
            count = min(DEPTH, rows - m)
            dy_first = (batch * rows + m) * N
            dy_in_place = _in_place(dy.size, dy_first + (tiles - 1) * ROWS, N, count, ROWS)
            if not dy_in_place:
                for i in range(tiles):
                    _pack(dy, dy_first + i * ROWS, N, count, min(ROWS, N - i * ROWS), dy_packed[i])
            before = -1
            for task in range(first, last):
                panel, i = task // tiles, task % tiles
                if panel != before:
                    before, p = panel, panel * COLUMNS
                    start = batch * batch_step + m * row_step + p
                    if _in_place(x.size, start, row_step, count, COLUMNS):
                        b, b_row = x.ctypes.data + 4 * start, row_step
                    else:
                        _pack(x, start, row_step, count, min(COLUMNS, P - p), x_packed)
                        b, b_row = x_packed.ctypes.data, COLUMNS
                if dy_in_place:
                    a, a_step = dy.ctypes.data + 4 * (dy_first + i * ROWS), N
                else:
                    a, a_step = dy_packed[i].ctypes.data, ROWS
                tile(a, 1, a_step, b, b_row, count, sums[task].ctypes.data, COLUMNS, 1)


@inner
def _in_place(size, start, step, count, width):
    """May a tile read this block where it lies? Not beyond the end, nor in steps so long that they thrash the cache."""
    return step <= NEAR and start + (count - 1) * step + width <= size


@inner
def _pack(source, start, step, count, width, target):
    """target[t, i] = source[start + t·step + i] for t < count, i < width."""
    for t in range(count):
        line = source[start + t * step : start + t * step + width]
        for i in range(width):
            target[t, i] = line[i]


@njit(cache=True, nogil=True, parallel=True)
def _transposed_parallel(threads, tasks, x, dy, sums, sizes, x_steps):
    for t in prange(threads):
        _transposed_tasks(tasks * t // threads, tasks * (t + 1) // threads, x, dy, sums, sizes, x_steps)
