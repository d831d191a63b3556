"""The engine's compiled loops: which tile of which product is computed when. Nothing is checked: see products.py.

A task of `multiply_tasks` is one strip of rows times one group of panels of w. Inside it, blocks of DEPTH terms come
first, so that a block of a panel stays in the L1 cache while the strip's rows pass by, and the strip in the L2 cache
while the panels do. What is left of a strip after its last whole tile goes row by row, each row with all panels of the
group at once: one row and one panel would be two sums, each waiting four cycles for its last addition.
"""

from minicodec.kernels.cpu.engine.addresses import address, get, put
from minicodec.kernels.cpu.engine.compile import compiled, inner
from minicodec.kernels.cpu.engine.fastmath import ONE, ZERO, expm1_32
from minicodec.kernels.cpu.engine.tile import COLUMNS, LANES, ROWS, VECTORS, make_tile

DEPTH = 256  # terms summed before the sum goes to memory: a panel of w, DEPTH x COLUMNS, fills half the L1 cache
GROUP = 4  # panels that a single row meets at once
TOGETHER = 256  # numbers that are finished in one loop
# A transposed product sums over so many rows at a time, and reads rows in place that are so many numbers apart at most.
# Rows farther apart are packed, which pays for many at once. But rows whose distance is a power of two meet in the same
# few lines of the L1 cache: where they are read in place, only few at a time stay there.
PACKED, IN_PLACE = (DEPTH, 64), (32, 128)

# What happens to finished outputs z: z or slope·z by its sign (slope 1: nothing), ELU, or z times a derivative.
LINEAR, ELU, DERIVATIVE = range(3)

tile, one_row = make_tile(ROWS, VECTORS, LANES), make_tile(1, VECTORS, LANES)
wide_row = make_tile(1, VECTORS, LANES, GROUP)
tall_tile, half_row = make_tile(2 * ROWS, 1, LANES), make_tile(1, 1, LANES)


@compiled
def multiply_tasks(
    first, last, room, x, w, x2, w2, out, x_steps, w_steps, shape, strips, bias, at, finish, slope, curve
):
    """Tasks first ... last - 1 of out = x·w + x2·w2. The tuples are

    x_steps (batch, row, tap); w_steps (row, panel); shape (rows, taps, P, P2, N); strips (number, rows, add or not).
    The rows of x2 are one run of P2 numbers each, 0 if there is no x2, one row after the other; w2 is packed.
    room is for TOGETHER numbers, and for strip · COLUMNS more if N is no multiple of COLUMNS.
    """
    batch_step, row_step, tap_step = x_steps
    w_row, w_panel = w_steps
    rows, taps, P, P2, N = shape
    runs = taps + min(P2, 1)
    strips, strip, add_first = strips
    panels = -(-N // COLUMNS)
    groups = -(-panels // GROUP)
    biases = address(room)
    margin = biases + 4 * TOGETHER  # for a panel wider than what is left of out
    for task in range(first, last):
        group, b, m = task % groups, task // groups // strips, task // groups % strips * strip
        count = min(strip, rows - m)
        a, m = address(x) + 4 * (b * batch_step + m * row_step), b * rows + m
        a2 = address(x2) + 4 * m * P2
        panel, after = group * GROUP, min((group + 1) * GROUP, panels)
        in_tiles = count // ROWS * ROWS if (panel + GROUP) * COLUMNS <= N else count
        for j in range(panel, after):
            n = j * COLUMNS
            fits = N - n >= COLUMNS or N - n == LANES
            place = address(out) + 4 * (m * N + n)
            c, c_row = (place, N) if fits else (margin, COLUMNS)
            if add_first and not fits:
                _copy(place, N, margin, COLUMNS, count, N - n)
            add = add_first
            for k in range(runs):
                a_k, a_row, length = a + 4 * k * tap_step, row_step, P
                b_k, b_row = address(w) + 4 * (j * w_panel + k * P * w_row), w_row
                if k == taps:
                    a_k, a_row, length, b_k, b_row = a2, P2, P2, address(w2) + 4 * j * P2 * COLUMNS, COLUMNS
                for p in range(0, length, DEPTH):
                    a_p, b_p, terms = a_k + 4 * p, b_k + 4 * p * b_row, min(DEPTH, length - p)
                    _strip_times_panel(N - n <= LANES, in_tiles, a_p, a_row, b_p, b_row, terms, c, c_row, add)
                    add = 1
            if not fits:
                _copy(margin, COLUMNS, place, N, count, N - n)
        if in_tiles < count:
            c = address(out) + 4 * (m * N + panel * COLUMNS)
            add = add_first
            for k in range(runs):
                a_k, a_row, length = a + 4 * k * tap_step, row_step, P
                b_k, b_row, b_panel = address(w) + 4 * (panel * w_panel + k * P * w_row), w_row, w_panel
                if k == taps:
                    a_k, a_row, length, b_row, b_panel = a2, P2, P2, COLUMNS, P2 * COLUMNS
                    b_k = address(w2) + 4 * panel * b_panel
                for p in range(0, length, DEPTH):
                    b_p, terms = b_k + 4 * p * b_row, min(DEPTH, length - p)
                    for i in range(in_tiles, count):
                        wide_row(a_k + 4 * (i * a_row + p), 0, 1, b_p, b_row, b_panel, terms, c + 4 * i * N, 0, add)
                    add = 1
        if bias.size or finish != LINEAR or slope != ONE:
            area = (m, m + count, panel * COLUMNS, min(after * COLUMNS, N))
            _finish(address(out), N, area, address(bias) if bias.size else 0, biases, finish, address(at), slope, curve)


@inner
def _copy(source, source_row, target, target_row, rows, columns):
    """Rows of numbers from one address to another."""
    for row in range(rows):
        for n in range(columns):
            put(target, row * target_row + n, get(source, row * source_row + n))


@inner
def _strip_times_panel(half, rows, a, a_row, b, b_row, count, c, c_row, add):
    """As many whole tiles as fit, then row by row. Where half a panel is enough: half as wide, twice as tall."""
    m = 0
    if half:
        while m + 2 * ROWS <= rows:
            tall_tile(a + 4 * m * a_row, a_row, 1, b, b_row, 0, count, c + 4 * m * c_row, c_row, add)
            m += 2 * ROWS
        while m < rows:
            half_row(a + 4 * m * a_row, a_row, 1, b, b_row, 0, count, c + 4 * m * c_row, c_row, add)
            m += 1
    else:
        while m + ROWS <= rows:
            tile(a + 4 * m * a_row, a_row, 1, b, b_row, 0, count, c + 4 * m * c_row, c_row, add)
            m += ROWS
        while m < rows:
            one_row(a + 4 * m * a_row, a_row, 1, b, b_row, 0, count, c + 4 * m * c_row, c_row, add)
            m += 1


@inner
def _finish(out, N, area, bias, b, finish, at, slope, curve):
    """An area of outputs (B·M,N), while it is in the cache: + bias, then what `finish` says; `at` is like out.

    Rows that are whole follow each other in memory: up to TOGETHER numbers of them are one loop, because a loop over
    few numbers has hardly begun when it ends; b is room for their biases (bias 0: none). Branches would keep the loops
    from using vectors: e^z is computed even where it is not needed.
    """
    m_first, m_last, n_first, n_last = area
    width = n_last - n_first
    rows = TOGETHER // N if width == N else 1
    for n in range(rows * width):
        put(b, n, get(bias, n_first + n % width) if bias else ZERO)
    for m in range(m_first, m_last, rows):
        c, y = out + 4 * (m * N + n_first), at + 4 * (m * N + n_first)
        count = min(rows, m_last - m) * width
        if finish == LINEAR:
            for n in range(count):
                z = get(c, n) + get(b, n)
                put(c, n, z * (ONE if z > ZERO else slope))
        elif finish == ELU:
            for n in range(count):
                z = get(c, n) + get(b, n)
                below = expm1_32(z)
                put(c, n, z if z > ZERO else below)
        elif finish == DERIVATIVE:  # of ELU, 1 or y + 1; of LeakyReLU, 1 or slope
            for n in range(count):
                y_n = get(y, n)
                below = y_n * curve + slope
                put(c, n, (get(c, n) + get(b, n)) * (ONE if y_n > ZERO else below))


# For the weights, dw = xᵀ·dy: rows of tiles are numbers of x, columns are channels of dy, and the sum runs over time.
# What tiles read in excess of P and N gives sums that nobody looks at.


@compiled
def transposed_tasks(first, last, room, x, dy, sums, x_steps, shape, block, by_panels):
    """Panels first ... last - 1 of sums = xᵀ·dy, or rows of tiles if not by_panels: a thread packs only its panels.

    x_steps (start, batch, row); shape (batches, rows, P, N); block is PACKED or IN_PLACE.
    sums (P',N') has whole tiles of (height, width): 2·ROWS x LANES where N is no more than that, else ROWS x COLUMNS.
    room is for depth · (height + N'), and comes as zeros.
    """
    x_start, batch_step, row_step = x_steps
    batches, rows, P, N = shape
    depth, near = block
    height, width = (2 * ROWS, LANES) if N <= LANES else (ROWS, COLUMNS)
    tiles, panels = -(-P // height), -(-N // width)
    i_first, i_last, j_first, j_last = (0, tiles, first, last) if by_panels else (first, last, 0, panels)
    x_packed, dy_packed = address(room), address(room) + 4 * depth * height
    add = 0
    for batch in range(batches):
        for m in range(0, rows, depth):
            count = min(depth, rows - m)
            dy_first = (batch * rows + m) * N
            b, b_row, b_panel = address(dy) + 4 * dy_first, N, width
            if not _in_place(dy.size, dy_first, N, count, panels * width, near):
                for j in range(j_first, j_last):
                    some = min(width, N - j * width)
                    _pack(b + 4 * j * width, N, count, some, dy_packed + 4 * j * depth * width, width)
                b, b_row, b_panel = dy_packed, width, depth * width
            for i in range(i_first, i_last):
                start = x_start + batch * batch_step + m * row_step + i * height
                a, a_step = address(x) + 4 * start, row_step
                if not _in_place(x.size, start, row_step, count, height, near):
                    _pack(a, row_step, count, min(height, P - i * height), x_packed, height)
                    a, a_step = x_packed, height
                c_row = panels * width
                c = address(sums) + 4 * i * height * c_row
                for j in range(j_first, j_last):
                    b_j, c_j = b + 4 * j * b_panel, c + 4 * j * width
                    if N <= LANES:
                        tall_tile(a, 1, a_step, b_j, b_row, 0, count, c_j, c_row, add)
                    else:
                        tile(a, 1, a_step, b_j, b_row, 0, count, c_j, c_row, add)
            add = 1


@inner
def _in_place(size, start, step, count, width, near):
    """May a tile read this block where it lies? Not beyond the end, nor in steps so long that they thrash the cache."""
    return step <= near and start + (count - 1) * step + width <= size


@inner
def _pack(source, step, count, width, target, target_step):
    """target[t, i] = source[t · step + i] for t < count, i < width."""
    for t in range(count):
        if width == COLUMNS:  # a loop of constant length becomes a few instructions
            for i in range(COLUMNS):
                put(target, t * target_step + i, get(source, t * step + i))
        else:
            for i in range(width):
                put(target, t * target_step + i, get(source, t * step + i))
