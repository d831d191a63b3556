"""The fast LSTM's compiled loops over frames, one product with the recurrent weights in each; see ops/lstm.py.

The weights are read anew in every frame, 4 MB of them with H = 512, and are larger than a core's cache: how they lie in
memory decides, and how many cores read. They lie in panels, each a run of numbers that a tile of the micro-kernel reads
from front to back, for one row of the batch or four at once. Threads share out the units (of H), GROUP at a time,
so that each reads a part of the weights, and meet between frames (ops/team.py).
"""

from numba import njit

from minicodec.jit import inner
from minicodec.ops.fastmath import ONE, sigmoid32, tanh32
from minicodec.ops.microkernel import COLUMNS, LANES, VECTORS, address, make_tile
from minicodec.ops.team import arrive, frame_of, meet, parts_of

GROUP = 4 * COLUMNS  # columns that a tile of one row covers; one of four rows covers a quarter
one_row, four_rows = make_tile(1, VECTORS, LANES, 4), make_tile(4, VECTORS, LANES)


@njit(cache=True, nogil=True)
def forward(team, leads, w, steps, h, z, c, gates, y):
    """gates (B,T,4H) comes as x w_ih + b and leaves as i, f, g, o; y (B,T,2H) is filled.

    h (2,B',H) is h0 in even frames, c (B,H) comes as c0; z (B',4H') is room to work in. B' rows and H'
    units are whole tiles and groups; each of the four gates in w has H' columns.
    """
    (B, T, _), H = gates.shape, c.shape[1]
    wide = z.shape[1] // 4
    rank, now = arrive(team, leads)
    while True:
        now = meet(team, rank, now, T)
        t, parts = frame_of(now), parts_of(now)
        if t >= T:
            break
        if rank >= parts:
            continue
        first, last = _groups(wide // GROUP, rank, parts)
        for k in range(4):
            gate = 3 - k if t % 2 else k
            _product(h[t % 2], H, w, steps, gate * wide + first, gate * wide + last, z, t)
        last = min(last, H)
        h_after = h[1 - t % 2]
        for row in range(B):
            z_i, z_f, z_g, z_o = _four(z[row], wide, first, last)
            i, f, g, o = _four(gates[row, t], H, first, last)
            c_t, h_t = c[row, first:last], h_after[row, first:last]
            y_h, y_c = y[row, t, first:last], y[row, t, H + first : H + last]
            for j in range(last - first):
                i[j], f[j] = sigmoid32(z_i[j] + i[j]), sigmoid32(z_f[j] + f[j])
                g[j], o[j] = tanh32(z_g[j] + g[j]), sigmoid32(z_o[j] + o[j])
                c_t[j] = f[j] * c_t[j] + i[j] * g[j]
                h_t[j] = o[j] * tanh32(c_t[j])
                y_h[j], y_c[j] = h_t[j], c_t[j]


@njit(cache=True, nogil=True)
def backward(team, leads, w, steps, dz_after, dh, dc, c0, gates, y, dy, dz):
    """dz (B,T,4H) is filled; dh (B',H') and dc (B,H) come as zeros and leave as the gradients of h0 and c0.

    w holds w_hhᵀ. dz_after (2,B',4H) is room for dz of this frame, and of the one after it.
    """
    (B, T, _), H = gates.shape, dc.shape[1]
    rank, now = arrive(team, leads)
    while True:
        now = meet(team, rank, now, T + 1)  # one more, for h0
        t, parts = T - 1 - frame_of(now), parts_of(now)
        if t < -1:
            break
        if rank >= parts:
            continue
        first, last = _groups(dh.shape[1] // GROUP, rank, parts)
        if t < T - 1:
            _product(dz_after[(t + 1) % 2], 4 * H, w, steps, first, last, dh, t)
        last = min(last, H)
        for row in range(B if t >= 0 else 0):
            c_before = y[row, t - 1, H + first : H + last] if t > 0 else c0[row, first:last]
            i, f, g, o = _four(gates[row, t], H, first, last)
            dz_i, dz_f, dz_g, dz_o = _four(dz[row, t], H, first, last)
            dh_t, dc_t = dh[row, first:last], dc[row, first:last]
            dy_h, dy_c, c_t = dy[row, t, first:last], dy[row, t, H + first : H + last], y[row, t, H + first : H + last]
            for j in range(last - first):
                s = tanh32(c_t[j])
                dh_j = dh_t[j] + dy_h[j]
                dc_j = dc_t[j] + dy_c[j] + dh_j * o[j] * (ONE - s * s)
                dz_i[j] = dc_j * g[j] * i[j] * (ONE - i[j])
                dz_f[j] = dc_j * c_before[j] * f[j] * (ONE - f[j])
                dz_g[j] = dc_j * i[j] * (ONE - g[j] * g[j])
                dz_o[j] = dh_j * s * o[j] * (ONE - o[j])
                dc_t[j] = dc_j * f[j]
            for gate in range(4):
                source = dz[row, t, gate * H + first : gate * H + last]
                target = dz_after[t % 2, row, gate * H + first : gate * H + last]
                for j in range(last - first):
                    target[j] = source[j]


@inner
def _four(a, H, first, last):
    """Numbers first ... last - 1 of each quarter of a (4H)."""
    return a[first:last], a[H + first : H + last], a[2 * H + first : 2 * H + last], a[3 * H + first : 3 * H + last]


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
