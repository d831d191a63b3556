"""Arrays large enough for several threads: right, and the same bits on one thread as on two."""

import numba
import numpy as np
import pytest

from minicodec.ops import activations


def run(op, backend, arrays, dy):
    forward, backward = op.pairs[backend]
    y, saved = forward(*arrays)
    return [y, *backward(dy, saved)]


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        pytest.param(activations.elu, (90_001,), id="elu"),
        pytest.param(activations.leaky_relu, (3, 30_001), id="leaky_relu"),
        pytest.param(activations.gelu, (90_001,), id="gelu"),
    ],
)
def test_large_arrays(op, shape, rng):
    arrays = [rng.normal(size=shape).astype(np.float32)]
    dy = rng.normal(size=shape).astype(np.float32)
    exact = run(op, "numpy", [a.astype(np.float64) for a in arrays], dy.astype(np.float64))
    results = {}
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results[threads] = run(op, "numba", arrays, dy)
    numba.set_num_threads(before)
    for one, two, expected in zip(results[1], results[2], exact, strict=True):
        assert np.abs(one - expected).max() <= 3e-6 * np.abs(expected).max()
        np.testing.assert_array_equal(one, two)
