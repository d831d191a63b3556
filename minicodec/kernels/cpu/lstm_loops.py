"""The fast LSTM's compiled loops over frames, one product with the recurrent weights in each; see ops/lstm.py.

The weights are read anew in every frame, 4 MB of them with H = 512, and are larger than a core's cache: how they lie in
memory decides, and how many cores read. They lie in panels, each a run of numbers that a tile of the micro-kernel reads
from front to back, for one row of the batch or four at once. Threads share out the units (of H), GROUP at a time,
so that each reads a part of the weights, and meet between frames (kernels/cpu/engine/team.py).
"""

from minicodec.kernels.cpu.engine.addresses import address, get, put
from minicodec.kernels.cpu.engine.compile import compiled, inner
from minicodec.kernels.cpu.engine.fastmath import ONE, sigmoid32, tanh32
from minicodec.kernels.cpu.engine.team import START, meet
from minicodec.kernels.cpu.engine.tile import COLUMNS, LANES, VECTORS, make_tile

GROUP = 4 * COLUMNS  # columns that a tile of one row covers; one of four rows covers a quarter
one_row, four_rows = make_tile(1, VECTORS, LANES, 4), make_tile(4, VECTORS, LANES)


@compiled
def forward(team, rank, w, steps, h, z, c, gates, y):
    """gates (B,T,4H) comes as x w_ih + b and leaves as i, f, g, o; y (B,T,2H) is filled.

    h (2,B',H) is h0 in even frames, c (B,H) comes as c0; z (B',4H') is room to work in. B' rows and H'
    units are whole tiles and groups; each of the four gates in w has H' columns.
    """
    (B, T, _), H = gates.shape, c.shape[1]
    wide = z.shape[1] // 4
    t, parts = START
    while True:
        t, parts = meet(team, rank, t, parts, T)
        if t >= T:
            break
        first, last = _groups(wide // GROUP, rank, parts)
        for k in range(4):
            gate = 3 - k if t % 2 else k
            _product(h[t % 2], H, w, steps, gate * wide + first, gate * wide + last, z, t)
        for row in range(B):
            z_row, gates_row = address(z) + 16 * row * wide, address(gates) + 16 * (row * T + t) * H
            y_row, c_row = address(y) + 8 * (row * T + t) * H, address(c) + 4 * row * H
            h_row = address(h) + 4 * ((1 - t % 2) * (h.size // 2) + row * h.shape[2])
            for j in range(first, min(last, H)):
                i = sigmoid32(get(z_row, j) + get(gates_row, j))
                f = sigmoid32(get(z_row, wide + j) + get(gates_row, H + j))
                g = tanh32(get(z_row, 2 * wide + j) + get(gates_row, 2 * H + j))
                o = sigmoid32(get(z_row, 3 * wide + j) + get(gates_row, 3 * H + j))
                c_t = f * get(c_row, j) + i * g
                h_t = o * tanh32(c_t)
                put(gates_row, j, i)
                put(gates_row, H + j, f)
                put(gates_row, 2 * H + j, g)
                put(gates_row, 3 * H + j, o)
                put(c_row, j, c_t)
                put(h_row, j, h_t)
                put(y_row, j, h_t)
                put(y_row, H + j, c_t)


@compiled
def backward(team, rank, w, steps, dz_after, dh, dc, c0, gates, y, dy, dz):
    """dz (B,T,4H) is filled; dh (B',H') and dc (B,H) come as zeros and leave as the gradients of h0 and c0.

    w holds w_hhᵀ. dz_after (2,B',4H) is room for dz of this frame, and of the one after it.
    """
    (B, T, _), H = gates.shape, dc.shape[1]
    frame, parts = START
    while True:
        frame, parts = meet(team, rank, frame, parts, T + 1)  # one more, for h0
        t = T - 1 - frame
        if t < -1:
            break
        first, last = _groups(dh.shape[1] // GROUP, rank, parts)
        if t < T - 1:
            _product(dz_after[(t + 1) % 2], 4 * H, w, steps, first, last, dh, t)
        for row in range(B if t >= 0 else 0):
            gates_row, dz_row = address(gates) + 16 * (row * T + t) * H, address(dz) + 16 * (row * T + t) * H
            y_row, dy_row = address(y) + 8 * (row * T + t) * H, address(dy) + 8 * (row * T + t) * H
            dh_row, dc_row = address(dh) + 4 * row * dh.shape[1], address(dc) + 4 * row * H
            before = y_row - 4 * H if t > 0 else address(c0) + 4 * row * H  # c of the frame before
            after = address(dz_after) + 16 * (t % 2 * (dz_after.size // 8 // H) + row) * H
            for j in range(first, min(last, H)):
                i, f = get(gates_row, j), get(gates_row, H + j)
                g, o = get(gates_row, 2 * H + j), get(gates_row, 3 * H + j)
                s = tanh32(get(y_row, H + j))
                dh_t = get(dh_row, j) + get(dy_row, j)
                dc_t = get(dc_row, j) + get(dy_row, H + j) + dh_t * o * (ONE - s * s)
                dz_i = dc_t * g * i * (ONE - i)
                dz_f = dc_t * get(before, j) * f * (ONE - f)
                dz_g = dc_t * i * (ONE - g * g)
                dz_o = dh_t * s * o * (ONE - o)
                put(dc_row, j, dc_t * f)
                for target in (dz_row, after):
                    put(target, j, dz_i)
                    put(target, H + j, dz_f)
                    put(target, 2 * H + j, dz_g)
                    put(target, 3 * H + j, dz_o)


@inner
def _groups(groups, rank, parts):
    """Columns first ... last - 1 that are part number `rank`."""
    return rank * groups // parts * GROUP, (rank + 1) * groups // parts * GROUP


@inner
def _product(a, P, w, steps, first, last, out, t):
    """a (B',P) times columns first ... last - 1 of w (P,N) in panels -> these of out (B',N).

    A layer's w is larger than the L2 cache: walking it to and fro finds what the last frame left there.
    """
    w_row, w_panel = steps
    B, N = out.shape
    a_row = a.shape[1]
    for n in range(first, last, GROUP):
        column = n if t % 2 else first + last - GROUP - n
        b, c = address(w) + 4 * (column // COLUMNS * w_panel), address(out) + 4 * column
        if B == 1:
            one_row(address(a), 0, 1, b, w_row, w_panel, P, c, 0, 0)
        else:
            for j in range(4):
                for m in range(0, B, 4):
                    a_m, c_m = address(a) + 4 * m * a_row, c + 4 * (m * N + j * COLUMNS)
                    four_rows(a_m, a_row, 1, b + 4 * j * w_panel, w_row, 0, P, c_m, N, 0)
