"""Arrays large enough for several threads: right, and the same bits on one thread as on two."""

import numba
import numpy as np
import pytest

from minicodec.backend import load
from minicodec.ops import activations, arithmetic, fused, softmax_cross_entropy, stft, weight_norm


def run(op, backend, arrays, dy, **attrs):
    load(backend)
    forward, backward = op.pairs[backend]
    y, saved = forward(*arrays, **attrs)
    return [y, *(dx for dx in backward(dy, saved, **attrs) if dx is not None)]


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        pytest.param(activations.elu, (90_001,), id="elu"),
        pytest.param(activations.leaky_relu, (3, 30_001), id="leaky_relu"),
        pytest.param(activations.gelu, (90_001,), id="gelu"),
        pytest.param(softmax_cross_entropy.softmax, (71, 1001), id="softmax"),
    ],
)
def test_large_arrays(op, shape, rng):
    equal_on_threads(op, [rng.normal(size=shape).astype(np.float32)], rng.normal(size=shape).astype(np.float32))


def test_many_classes(rng):
    logits, targets = rng.normal(size=(71, 1001)).astype(np.float32), rng.integers(0, 1001, 71)
    equal_on_threads(softmax_cross_entropy.softmax_cross_entropy, [logits, targets], np.ones(71, np.float32))


def test_a_bias(rng):
    rows, bias = rng.normal(size=(3, 20_001, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    equal_on_threads(arithmetic.add, [rows, bias], rng.normal(size=rows.shape).astype(np.float32))


def test_a_distance(rng):
    x, y = rng.normal(size=(2, 3, 200_001)).astype(np.float32)
    y[0, :1000] = x[0, :1000]
    equal_on_threads(fused.l1_distance, [x, y], np.float32(0.7) * np.ones((), np.float32))


@pytest.mark.parametrize(("axis", "shape"), [(2, (7, 96, 131)), (1, (7, 131, 96))])
def test_a_weight(axis, shape, rng):
    v, dw = rng.normal(size=shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)
    g = rng.uniform(0.5, 2, size=[n if i == axis else 1 for i, n in enumerate(shape)]).astype(np.float32)
    equal_on_threads(weight_norm.weight_norm, [v, g], dw, axis=axis)


@pytest.mark.parametrize("op", [stft.stft, stft.stft_magnitude], ids=lambda op: op.name)
def test_spectra(op, rng):
    """Of three items on two threads, and of one of silence; each as the definition has it, to the bit."""
    x = rng.normal(size=(3, 30_001)).astype(np.float32)
    x[1] = 0
    attrs = {"n_fft": 256, "hop": 64, "normalized": True}
    dy = rng.normal(size=op.pairs["numpy"][0](x, **attrs)[0].shape).astype(np.float32)
    equal_on_threads(op, [x], dy, **attrs)
    for got, expected in zip(run(op, "numba", [x], dy, **attrs), run(op, "numpy", [x], dy, **attrs), strict=True):
        np.testing.assert_array_equal(got, expected)


def equal_on_threads(op, arrays, dy, **attrs):
    exact = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    exact = run(op, "numpy", exact, dy.astype(np.float64), **attrs)
    results = {}
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results[threads] = run(op, "numba", arrays, dy, **attrs)
    numba.set_num_threads(before)
    for one, two, expected in zip(results[1], results[2], exact, strict=True):
        assert np.abs(one - expected).max() <= 3e-6 * np.abs(expected).max()
        np.testing.assert_array_equal(one, two)
