"""conv2d on spectrograms large enough for several threads: right, and the same bits on one thread as on two."""

import numba
import numpy as np
import pytest

from minicodec.ops.conv2d import conv2d


@pytest.mark.parametrize(
    ("F", "Ci", "Co", "stride", "padding"), [(65, 2, 8, 1, 4), (65, 8, 8, 2, 4), (40, 16, 1, 1, 0)]
)
def test_large_spectrograms(F, Ci, Co, stride, padding, rng):
    attrs = {"stride": (1, stride), "dilation": (2, 1), "padding": (2, padding)}
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in [(2, 90, F, Ci), (3, 9, Ci, Co)]]
    forward, backward = conv2d.pairs["numpy"]
    y, saved = forward(*(a.astype(np.float64) for a in arrays), **attrs)
    dy = rng.normal(size=y.shape).astype(np.float32)
    exact = [y, *backward(dy.astype(np.float64), saved, **attrs)]

    forward, backward = conv2d.pairs["numba"]
    results = {}
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        y, saved = forward(*arrays, **attrs)
        results[threads] = [y, *backward(dy, saved, **attrs)]
    numba.set_num_threads(before)
    for one, two, expected in zip(results[1], results[2], exact, strict=True):
        assert np.abs(one - expected).max() <= 3e-6 * np.abs(expected).max()
        np.testing.assert_array_equal(one, two)
