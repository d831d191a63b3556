"""What the fast LSTM promises beyond its definition: the same bits, however a stream is cut and a batch is made up."""

import numba
import numpy as np
import pytest

from minicodec.kernels.cpu.lstm import lstm_backward_numba, lstm_forward_numba


def layer(rng, B, T, Ci, H):
    shapes = [(B, T, Ci), (Ci, 4 * H), (H, 4 * H), (4 * H,), (B, H), (B, H)]
    x, w_ih, w_hh, *rest = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return [x, w_ih / np.float32(Ci**0.5), w_hh / np.float32(H**0.5), *rest]


SIZES = [(1, 75, 64, 128), (2, 75, 33, 37), (1, 60, 300, 144)]  # B, T, Ci, H


@pytest.mark.parametrize("chunk", [1, 7, 50])
@pytest.mark.parametrize("sizes", SIZES)
def test_chunks_give_the_bits_of_the_whole(sizes, chunk, rng):
    x, w_ih, w_hh, b, h, c = layer(rng, *sizes)
    whole, _ = lstm_forward_numba(x, w_ih, w_hh, b, h, c)
    H = h.shape[1]
    pieces = []
    for t in range(0, x.shape[1], chunk):
        y, _ = lstm_forward_numba(x[:, t : t + chunk], w_ih, w_hh, b, h, c)
        h, c = y[:, -1, :H], y[:, -1, H:]
        pieces.append(y)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)


def test_a_row_has_the_same_bits_alone_and_in_a_batch(rng):
    x, w_ih, w_hh, b, h0, c0 = layer(rng, 5, 20, 24, 40)
    together, _ = lstm_forward_numba(x, w_ih, w_hh, b, h0, c0)
    for row in range(5):
        one = slice(row, row + 1)
        alone, _ = lstm_forward_numba(x[one], w_ih, w_hh, b, h0[one], c0[one])
        np.testing.assert_array_equal(alone, together[one])


def test_thread_count_changes_no_bit(rng):
    arrays = layer(rng, 5, 40, 64, 200)  # large enough for two
    dy = rng.normal(size=(5, 40, 400)).astype(np.float32)

    def run(threads):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            y, saved = lstm_forward_numba(*arrays)
            return y, *lstm_backward_numba(dy, saved)
        finally:
            numba.set_num_threads(before)

    for one, two in zip(run(1), run(min(2, numba.config.NUMBA_NUM_THREADS)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_large_inputs_saturate(rng):
    """Gates at z = ±1e4 are 0 or 1 exactly; nothing overflows on the way."""
    x, w_ih, w_hh, b, h0, c0 = layer(rng, 2, 6, 3, 4)
    y, saved = lstm_forward_numba(x * np.float32(1e4), w_ih, w_hh, b, h0, c0)
    gates = saved[5]
    assert np.isin(gates[..., :8], [0, 1]).mean() > 0.9
    assert np.isfinite(y).all()
    assert all(np.isfinite(g).all() for g in lstm_backward_numba(np.ones_like(y), saved))
