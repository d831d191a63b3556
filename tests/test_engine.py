"""The engine: right on every edge, the same bits for any cut of the work, and no address outside its arrays."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba import njit

import minicodec.threads
from minicodec.kernels.cpu.conv1d import conv1d_forward_numba
from minicodec.kernels.cpu.conv_transpose1d import conv_transpose1d_forward_numba
from minicodec.kernels.cpu.engine import loops as engine_loops
from minicodec.kernels.cpu.engine.addresses import address
from minicodec.kernels.cpu.engine.loops import DEPTH
from minicodec.kernels.cpu.engine.products import COLUMNS, ROWS, multiply, multiply_transposed, pack
from minicodec.kernels.cpu.engine.tile import choose_tile, make_tile
from minicodec.kernels.cpu.linear import linear_forward_numba


def assert_close(got, expected, tolerance=2e-6):
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def windows(x, batches, rows, taps, P, batch_step, row_step, tap_step):
    """The rows that the engine reads in place, spelled out: (B,M,K,P) in float64."""
    b, m, k, p = np.ogrid[:batches, :rows, :taps, :P]
    return x.reshape(-1)[b * batch_step + m * row_step + k * tap_step + p].astype(np.float64)


# The tile by itself.


@pytest.mark.parametrize("tile", [(6, 2, 8), (8, 2, 16), (6, 2, 4), (8, 2, 4), (1, 1, 8), (3, 4, 2, 2)])
def test_a_tile_of_any_vector_length(tile, rng):
    """Whatever the host's registers hold, every tile is legal and right: strides of A, of B, of C, and adding."""
    rows, vectors, lanes, panels = (*tile, 1)[:4]
    kernel, columns, count = make_tile(*tile), panels * vectors * lanes, 37

    @njit
    def run(a, a_row, a_step, b, c, add):
        b_row, count = b.shape[2], b.shape[1]
        kernel(address(a), a_row, a_step, address(b), b_row, count * b_row, count, address(c), c.shape[1], add)

    a, b = normal(rng, rows, count), normal(rng, panels, count, vectors * lanes + 3)
    before = normal(rng, rows + 1, columns + 5)
    product = np.concatenate([a.astype(np.float64) @ panel[:, : vectors * lanes] for panel in b], axis=1)
    for add in (0, 1):
        for layout, a_row, a_step in [(a, count, 1), (np.ascontiguousarray(a.T), 1, rows)]:
            c = before.copy()
            run(layout, a_row, a_step, b, c, add)
            assert_close(c[:rows, :columns], product + add * before[:rows, :columns])
            np.testing.assert_array_equal(c[rows:], before[rows:])
            np.testing.assert_array_equal(c[:, columns:], before[:, columns:])


def test_the_tile_fits_the_registers():
    """Sums, a row of B and one broadcast number must fit: 32 registers with AVX-512 and NEON, 16 otherwise."""
    for features, lanes, registers in [
        ({"avx512f": True, "avx": True}, 16, 32),
        ({"avx512f": False, "avx": True}, 8, 16),
        ({"neon": True}, 4, 32),
        ({"sse2": True}, 4, 16),
    ]:
        rows, vectors, chosen = choose_tile(features)
        assert chosen == lanes
        assert rows * vectors + vectors + 1 <= registers


PRODUCTS = """
import numpy as np, sys
from minicodec.kernels.cpu.engine import products as engine
rng = np.random.default_rng(0)
results = []
for M, P, N in [(1, 5, 3), (29, 300, 50), (70, 7, 8), (17, 20, 64), (3, 600, 270)]:
    x, w, dy = (rng.normal(size=s).astype(np.float32) for s in [(M, P), (1, P, N), (1, M, N)])
    steps = dict(batch_step=0, row_step=P)
    y = engine.multiply(x, w, np.empty((1, M, N), np.float32), **steps)
    dw = engine.multiply_transposed(x, dy, taps=1, P=P, **steps)
    np.testing.assert_allclose(y[0], x.astype(float) @ w[0], rtol=0, atol=2e-4)
    np.testing.assert_allclose(dw[0], x.astype(float).T @ dy[0], rtol=0, atol=2e-4)
    elu = engine.multiply(x, w, np.empty((1, M, N), np.float32), **steps, bias=dy[0, 0], activation="elu")
    np.testing.assert_array_equal(np.sign(elu), np.sign(y + dy[0, 0]))
    results += [y, dw, elu]
print(engine.COLUMNS, b"".join(a.tobytes() for a in results).hex())
"""
OTHER_TILE = """
import numba
from llvmlite import binding
numba.njit(lambda: 0)()  # Numba has asked for the true features when its first function is compiled
true_features = binding.get_host_cpu_features
binding.get_host_cpu_features = lambda: {features}
from minicodec.kernels.cpu.engine import compile, tile
binding.get_host_cpu_features = true_features  # for Numba: only the tile is another, not the instructions
compile._folders = lambda: []  # what is kept was compiled for the true tile
"""


TILES = {"avx512": ({"avx512f": True}, 32), "avx": ({"avx": True}, 16), "sse": ({}, 8)}


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name, (_, columns) in TILES.items() if columns != COLUMNS])
def test_other_tiles_give_the_same_bits(name, capsys):
    """A process whose engine believes in another CPU, and keeps no compiled code, which depends on the tile."""
    features, columns = TILES[name]
    exec(PRODUCTS, {})
    _, bits = capsys.readouterr().out.split()
    command = [sys.executable, "-c", OTHER_TILE.format(features=features) + PRODUCTS]
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1"}
    process = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert process.stdout.split() == [str(columns), bits]


# The products, against their sums written out.

SHAPES = [
    # batches, rows, taps, P, N
    (1, 1, 1, 1, 1),
    (1, ROWS - 1, 1, 3, COLUMNS),
    (2, ROWS, 1, 5, COLUMNS // 2),
    (2, 2 * ROWS + 1, 1, DEPTH, COLUMNS + 1),
    (3, 75, 1, DEPTH + 1, 2 * COLUMNS),
    (1, 400, 3, 20, COLUMNS // 2 + 1),
    (2, 130, 2, 2 * DEPTH + 7, 3 * COLUMNS + 5),
    (2, DEPTH + 3, 1, 70, 2 * ROWS + 1),
]


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_equal_their_definition(shape, overlap, rng):
    batches, rows, taps, P, N = shape
    row_step = max(1, P // 3) if overlap else P + 70
    tap_step = 2 * row_step
    batch_step = (rows - 1) * row_step + (taps - 1) * tap_step + P
    x, w, dy = normal(rng, batches * batch_step), normal(rng, taps, P, N), normal(rng, batches, rows, N)
    steps = {"batch_step": batch_step, "row_step": row_step, "tap_step": tap_step}
    spelled_out = windows(x, batches, rows, taps, P, **steps)
    y = multiply(x, w, np.full((batches, rows, N), np.nan, np.float32), **steps)
    assert_close(y, np.einsum("bmkp,kpn->bmn", spelled_out, w, optimize=True))
    dw = multiply_transposed(x, dy, taps=taps, P=P, **steps)
    assert_close(dw, np.einsum("bmkp,bmn->kpn", spelled_out, dy, optimize=True))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 37, 300), (0, 2, 1)),
        ((2, 3 * COLUMNS, 261), (0, 2, 1)),
        ((2, 3, 20, 130), (0, 3, 1, 2)),
        ((1, 300, 300), (0, 2, 1)),
    ],
)
def test_weights_that_lie_transposed_are_packed(shape, axes, rng):
    w = normal(rng, *shape).transpose(axes)
    flat = w.reshape(*w.shape[:2], -1)
    panels, N = pack(w).panels, flat.shape[2]
    np.testing.assert_array_equal(np.moveaxis(panels, 0, 2).reshape(*w.shape[:2], -1)[..., :N], flat)
    assert not panels[-1, :, :, N % COLUMNS or COLUMNS :].any()


def test_products_touch_only_their_arrays(rng):
    """x and out lie in the middle of larger buffers: nothing around out changes, nothing around x is seen."""
    M, P, N = 2 * ROWS + 1, 11, COLUMNS + 3
    inside, outside = normal(rng, M * P), np.full(100 + M * P + 100, np.nan, np.float32)
    outside[100:-100] = inside
    around = np.full(100 + M * N + 100, 7, np.float32)
    w, dy = normal(rng, 1, P, N), normal(rng, 1, M, N)
    y = multiply(outside[100:-100], w, around[100:-100].reshape(1, M, N), batch_step=0, row_step=P)
    assert_close(y[0], inside.reshape(M, P).astype(np.float64) @ w[0])
    assert np.all(around[:100] == 7)
    assert np.all(around[-100:] == 7)
    dw = multiply_transposed(outside[100:-100], dy, taps=1, P=P, batch_step=0, row_step=P)
    assert_close(dw[0], inside.reshape(M, P).astype(np.float64).T @ dy[0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": np.zeros(59, np.float32)}, "ends at number 59 of x, which has 59"),
        ({"x": np.zeros(60)}, "float32 only"),
        ({"x": np.zeros((60, 2), np.float32)[:, 0]}, "contiguous"),
        ({"out": np.zeros((2, 7, 3), np.float32).swapaxes(1, 2)}, "contiguous"),
        ({"out": np.zeros((2, 3, 8), np.float32)}, "do not fit"),
        ({"out": np.zeros((2, 0, 7), np.float32)}, "do not fit"),
        ({"row_step": -1}, "steps must be positive"),
        ({"row_step": 0}, "steps must be positive"),
        ({"batch_step": 31}, "ends at number 60"),
        ({"tap_step": 11}, "ends at number 60"),
    ],
)
def test_multiply_refuses_what_would_leave_its_arrays(change, reason):
    good = {"x": np.zeros(60, np.float32), "w": np.zeros((2, 8, 7), np.float32)}
    good |= {"out": np.zeros((2, 3, 7), np.float32), "batch_step": 30, "row_step": 6, "tap_step": 10}
    multiply(**good)
    with pytest.raises(ValueError, match=reason):
        multiply(**{**good, **change})


def test_multiply_transposed_refuses_what_would_leave_its_arrays():
    good = {"x": np.zeros(60, np.float32), "dy": np.zeros((2, 3, 7), np.float32), "taps": 2, "P": 8}
    good |= {"batch_step": 30, "row_step": 6, "tap_step": 10}
    multiply_transposed(**good)
    for change in [{"P": 9}, {"taps": 3}, {"row_step": 7}, {"x": np.zeros(59, np.float32)}, {"x": np.zeros(60)}]:
        with pytest.raises(ValueError, match="multiply_transposed"):
            multiply_transposed(**{**good, **change})


def test_a_block_is_read_in_place_only_if_it_ends_inside():
    """10 rows of 16 numbers, 20 apart, from number 5 on, end at number 5 + 9·20 + 16 = 201; and if they are near."""
    in_place = engine_loops._in_place.py_func
    assert in_place(201, 5, 20, 10, 16, near=20)
    assert not in_place(200, 5, 20, 10, 16, near=20)
    assert not in_place(10**6, 5, 20, 10, 16, near=19)


def test_arrays_that_may_only_be_read(rng):
    """Weights and signals mapped from files cannot be written, and need not be."""
    x, w, dy = normal(rng, 1, 70, 5), normal(rng, 1, 5, COLUMNS), normal(rng, 1, 70, COLUMNS)
    for a in (x, w, dy):
        a.flags.writeable = False
    y = multiply(x, w, np.empty((1, 70, COLUMNS), np.float32), batch_step=0, row_step=5)
    assert_close(y[0], x[0].astype(np.float64) @ w[0])
    dw = multiply_transposed(x, dy, taps=1, P=5, batch_step=0, row_step=5)
    assert_close(dw[0], x[0].astype(np.float64).T @ dy[0])


# One fixed order: the same bits.


@pytest.fixture
def threads(monkeypatch):
    """Call it with n, to run the products that follow on n threads, however small."""
    monkeypatch.setattr(minicodec.threads, "MULTIPLICATIONS", 0)
    before = numba.get_num_threads()
    yield numba.set_num_threads
    numba.set_num_threads(before)


@pytest.mark.parametrize(("P", "N"), [(5, 1), (48, 8), (300, COLUMNS), (3 * DEPTH, COLUMNS + 3), (64, 4 * COLUMNS)])
def test_bits_do_not_depend_on_the_number_of_rows(P, N, rng):
    x, w = normal(rng, 700, P), normal(rng, 1, P, N)
    whole = multiply(x, w, np.empty((1, 700, N), np.float32), batch_step=0, row_step=P)[0]
    for rows in range(1, 41):
        start = int(rng.integers(700 - rows))
        part = multiply(x[start : start + rows], w, np.empty((1, rows, N), np.float32), batch_step=0, row_step=P)[0]
        np.testing.assert_array_equal(part, whole[start : start + rows])


@pytest.mark.parametrize(("P", "N"), [(5, 1), (48, 8), (300, COLUMNS), (3 * DEPTH, COLUMNS + 3), (21, 640)])
def test_bits_do_not_depend_on_the_number_of_threads(P, N, threads, rng):
    x, w, dy = normal(rng, 3, 333, P), normal(rng, 1, P, N), normal(rng, 3, 333, N)
    results = []
    for n in (1, 2):
        threads(n)
        y = multiply(x, w, np.empty((3, 333, N), np.float32), batch_step=333 * P, row_step=P)
        results.append((y, multiply_transposed(x, dy, taps=1, P=P, batch_step=333 * P, row_step=P)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("chunk", [1, 3, 16, 50])
@pytest.mark.parametrize(
    ("K", "Ci", "Co", "stride", "dilation"),
    [(7, 1, 16, 1, 1), (3, 16, 8, 1, 1), (7, 16, 1, 1, 1), (7, 64, 40, 1, 1), (16, 32, 64, 8, 1), (3, 16, 8, 1, 4)],
)
def test_a_convolution_in_chunks_has_the_bits_of_the_whole(K, Ci, Co, stride, dilation, chunk, rng):
    span, To = (K - 1) * dilation + 1, 203
    x, w = normal(rng, 2, (To - 1) * stride + span, Ci), normal(rng, K, Ci, Co)
    whole, _ = conv1d_forward_numba(x, w, stride=stride, dilation=dilation)
    parts = []
    for t in range(0, To, chunk):
        last = min(t + chunk, To)
        part = x[:, t * stride : (last - 1) * stride + span]
        parts.append(conv1d_forward_numba(part, w, stride=stride, dilation=dilation)[0])
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)


@pytest.mark.parametrize("chunk", [1, 7, 50])
@pytest.mark.parametrize(("K", "Ci", "Co", "stride"), [(4, 32, 16, 2), (16, 200, 40, 8), (10, 6, 1, 5), (7, 5, 3, 3)])
def test_a_transposed_convolution_in_chunks_has_the_bits_of_the_whole(K, Ci, Co, stride, chunk, rng):
    """Each chunk is given the inputs before it that still reach into it, and keeps its own stretch of the output."""
    x, w = normal(rng, 2, 101, Ci), normal(rng, K, Ci, Co)
    past = -(-K // stride) - 1
    whole, _ = conv_transpose1d_forward_numba(x, w, stride=stride)
    for t in range(past, 101 - chunk, chunk):
        y, _ = conv_transpose1d_forward_numba(x[:, t - past : t + chunk], w, stride=stride)
        part = y[:, past * stride : (past + chunk) * stride]
        np.testing.assert_array_equal(part, whole[:, t * stride : (t + chunk) * stride])


def test_a_linear_layer_row_by_row_has_the_bits_of_the_whole(rng):
    x, w = normal(rng, 4, 9, 300), normal(rng, 300, 50)
    whole, _ = linear_forward_numba(x, w)
    for i in np.ndindex(4, 9):
        np.testing.assert_array_equal(linear_forward_numba(x[i], w)[0], whole[i])
