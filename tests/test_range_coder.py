"""Our range coder and the adaptive predictor: integers in, the fewest bytes out, the same integers back."""

import numpy as np
import pytest

from minicodec import backend
from minicodec.codec.files.entropy.adaptive import LIMIT, STEP, Adaptive
from minicodec.codec.files.entropy.range_coder import DAMAGED, TOTAL_BITS, Decoder, encode

BACKENDS = ("numpy", "numba")
TOTAL = 1 << TOTAL_BITS


def random_counts(rng, V, sharpness):
    """Cumulative counts (V+1,) from nearly uniform (0.1) to nearly certain (50), with a total of 2^24."""
    e = np.exp(sharpness * rng.normal(size=V))
    counts = 1 + np.floor((TOTAL - V) * e / e.sum()).astype(np.int64)
    counts[0] += TOTAL - counts.sum()
    return np.concatenate([[0], counts.cumsum()])


def message(rng, n, V, sharpness, likely=True):
    """n symbols with counts of their own; `likely`: drawn by them, otherwise all alike."""
    counts = np.stack([random_counts(rng, V, sharpness) for _ in range(n)])
    points = rng.integers(0, TOTAL, n) if likely else None
    symbols = (
        [np.searchsorted(c, p, side="right") - 1 for c, p in zip(counts, points, strict=True)]
        if likely
        else (rng.integers(0, V, n))
    )
    return np.array(symbols), counts


def encoded(symbols, counts):
    i = np.arange(len(symbols))
    return encode(counts[i, symbols], counts[i, symbols + 1], counts[:, -1])


def ideal_bits(symbols, counts):
    i = np.arange(len(symbols))
    return -np.log2((counts[i, symbols + 1] - counts[i, symbols]) / counts[:, -1]).sum()


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("V", [2, 30, 1024])
@pytest.mark.parametrize("sharpness", [0.1, 2, 50])
def test_symbols_come_back_at_the_ideal_cost(V, sharpness, name, rng):
    symbols, counts = message(rng, 600, V, sharpness)
    with backend.use(name):
        data = encoded(symbols, counts)
        np.testing.assert_array_equal(Decoder(data).pull(counts), symbols)
    assert ideal_bits(symbols, counts) / 8 - 1 <= len(data) <= 1.001 * ideal_bits(symbols, counts) / 8 + 4


@pytest.mark.parametrize("name", BACKENDS)
def test_symbols_that_nobody_expects(name, rng):
    """3 bytes each: no less likely symbol exists. Ones at the top of the counts carry over many digits."""
    counts = np.tile([0, TOTAL - 2, TOTAL - 1, TOTAL], (500, 1))
    for symbols in (np.full(500, 2), np.full(500, 1), np.zeros(500, np.int64), rng.integers(0, 3, 500)):
        with backend.use(name):
            data = encoded(symbols, counts)
            np.testing.assert_array_equal(Decoder(data).pull(counts), symbols)
        assert len(data) <= 1.001 * ideal_bits(symbols, counts) / 8 + 4


def test_both_backends_write_the_same_bytes_however_they_are_pulled(rng):
    for V, sharpness, likely in [(2, 5, True), (1024, 1, True), (7, 3, False), (1024, 8, False)]:
        symbols, counts = message(rng, 300, V, sharpness, likely)
        data = encoded(symbols, counts)
        with backend.use("numpy"):
            assert encoded(symbols, counts) == data
        decoder = Decoder(data)
        for first, last in [(0, 1), (1, 1), (1, 100), (100, 300)]:
            np.testing.assert_array_equal(decoder.pull(counts[first:last]), symbols[first:last])


def test_totals_need_not_be_powers_of_two(rng):
    counts = np.sort(rng.integers(1, 1 << 20, (400, 9)), axis=1).cumsum(axis=1) // 16
    counts = np.concatenate([np.zeros((400, 1), np.int64), counts + np.arange(9)], axis=1)
    symbols = rng.integers(0, 9, 400)
    data = encoded(symbols, counts)
    np.testing.assert_array_equal(Decoder(data).pull(counts), symbols)
    assert len(data) <= 1.001 * ideal_bits(symbols, counts) / 8 + 4


def test_nothing_costs_nothing():
    assert encode(*np.zeros((3, 0), np.int64)) == b""
    assert encode(np.zeros(1000), np.full(1000, TOTAL), np.full(1000, TOTAL)) == b""


@pytest.mark.parametrize("name", BACKENDS)
def test_any_bytes_are_decoded_to_something_or_called_damaged(name, rng):
    """Counts that leave a gap below 2^24 leave no gap in the interval; the rest of the division by them is one."""
    counts = np.tile([0, 5, 9_999_991], (40, 1))
    for _ in range(50):
        with backend.use(name):
            symbols = Decoder(rng.bytes(20)).pull(counts)
        assert set(symbols) <= {DAMAGED, 0, 1}
        damaged = symbols == DAMAGED
        assert not (damaged[:-1] & ~damaged[1:]).any()
    with backend.use(name):
        decoder = Decoder(b"\xff" * 9)
        assert set(decoder.pull(counts[:1])) == {DAMAGED}  # 2^48 - 1 lies above the last unit
        assert set(decoder.pull(counts)) == {DAMAGED}


@pytest.mark.parametrize("interval", [(3, 3, 9), (-1, 2, 9), (2, 10, 9), (0, 1, TOTAL + 1)])
def test_intervals_that_are_none_are_refused(interval):
    with pytest.raises(ValueError, match="0 <= start < stop <= total"):
        encode(*(np.array([i]) for i in interval))


def test_adaptive_counts_by_hand():
    """Two codebooks of three entries: each frame adds to its codes, and only for those after it."""
    predictor = Adaptive(2, 3)
    codes = np.array([[[0, 1, 1], [0, 3, 2]]])  # as numbers: START, then code + 1
    counts = np.diff(predictor(codes, predictor.start(1)))[0]
    s = 1 + STEP
    np.testing.assert_array_equal(counts[:, 0], [[1, 1, 1], [s, 1, 1], [s + STEP, 1, 1]])
    np.testing.assert_array_equal(counts[:, 1], [[1, 1, 1], [1, 1, s], [1, s, s]])


def test_adaptive_counts_are_halved_at_the_limit():
    predictor = Adaptive(1, 2)
    past = predictor.start(1)
    past[...] = LIMIT - 1 - 2 * STEP, 1
    counts = np.diff(predictor(np.ones((1, 1, 3), np.int64), past))[0, :, 0]
    half = LIMIT // 2
    np.testing.assert_array_equal(counts, [[LIMIT - 1 - STEP, 1], [half, 1], [half + STEP, 1]])
