"""conv2d, alone and as a layer, on spectrograms large enough for several threads: right, and always the same bits."""

import numba
import numpy as np
import pytest

from minicodec.backend import load
from minicodec.ops.activations import leaky_relu
from minicodec.ops.arithmetic import add
from minicodec.ops.conv2d import conv2d
from minicodec.ops.fused import conv2d_leaky_relu

load("numba")  # its pairs, in case no other file of tests has


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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("Ci", "Co"), [(2, 32), (8, 8), (3, 1), (8, 20)])
def test_a_layer_in_one_op_has_the_bits_of_its_three_parts(Ci, Co, threads, rng):
    attrs = {"stride": (1, 2), "dilation": (2, 1), "padding": (2, 4)}
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in [(2, 90, 65, Ci), (3, 9, Ci, Co), (Co,)])
    z, saved_conv = conv2d.pairs["numba"][0](x, w, **attrs)
    z, saved_add = add.pairs["numba"][0](z, b)
    y, saved = leaky_relu.pairs["numba"][0](z, slope=0.3)
    dy = rng.normal(size=y.shape).astype(np.float32)
    (dz,) = leaky_relu.pairs["numba"][1](dy, saved, slope=0.3)
    dz, db = add.pairs["numba"][1](dz, saved_add)
    parts = [y, *conv2d.pairs["numba"][1](dz, saved_conv, **attrs), db]

    forward, backward = conv2d_leaky_relu.pairs["numba"]
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    y, saved = forward(x, w, b, slope=0.3, **attrs)
    whole = [y, *backward(dy, saved, slope=0.3, **attrs)]
    numba.set_num_threads(before)
    *parts, db_parts = parts
    *whole, db = whole
    for part, one in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part, one)
    assert np.abs(db - db_parts).max() <= 3e-6 * np.abs(db).max()  # a sum of the items' sums
