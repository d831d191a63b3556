"""The float32 functions for Numba kernels, against NumPy and SciPy in float64."""

import numpy as np
import pytest
from numba import njit
from scipy.special import expit, ndtr

from minicodec.kernels.cpu.engine.fastmath import exp32, expm1_32, normal_cdf32, sigmoid32, tanh32


@njit
def map_exp(x, y):
    for i in range(len(x)):
        y[i] = exp32(x[i])


@njit
def map_expm1(x, y):
    for i in range(len(x)):
        y[i] = expm1_32(x[i])


@njit
def map_sigmoid(x, y):
    for i in range(len(x)):
        y[i] = sigmoid32(x[i])


@njit
def map_tanh(x, y):
    for i in range(len(x)):
        y[i] = tanh32(x[i])


@njit
def map_normal_cdf(x, y):
    for i in range(len(x)):
        y[i] = normal_cdf32(x[i])


FUNCTIONS = [
    pytest.param(map_exp, np.exp, id="exp32"),
    pytest.param(map_expm1, np.expm1, id="expm1_32"),
    pytest.param(map_sigmoid, expit, id="sigmoid32"),
    pytest.param(map_tanh, np.tanh, id="tanh32"),
]


def every_magnitude():
    """Where the functions vary, densely; each power of two from the smallest float32 to the largest; the edges."""
    powers = np.exp2(np.linspace(-149, 127.9, 20_001))
    edges = [0.0, 88.72283, 88.72284, -87.33655, -103.97, -103.98, np.inf, -np.inf]
    x = np.concatenate([np.linspace(-110, 95, 500_001), np.linspace(-2, 2, 100_001), powers, -powers, edges])
    return x.astype(np.float32)


@pytest.mark.parametrize(("function", "reference"), FUNCTIONS)
def test_within_4_ulp_of_float64(function, reference):
    x = every_magnitude()
    y = np.empty_like(x)
    function(x, y)
    with np.errstate(over="ignore", under="ignore"):
        exact = reference(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    infinite = np.isinf(rounded)
    np.testing.assert_array_equal(y[infinite], rounded[infinite])
    ulp = np.spacing(np.abs(rounded[~infinite])).astype(np.float64)
    error = np.abs(y[~infinite] - exact[~infinite]) / ulp
    assert error.max() <= 4, f"{error.max():.2f} ulp at x = {x[~infinite][error.argmax()]}"


def test_normal_cdf():
    x = every_magnitude()
    y = np.empty_like(x)
    map_normal_cdf(x, y)
    np.testing.assert_allclose(y, ndtr(x.astype(np.float64)), rtol=0, atol=3e-7)


@pytest.mark.parametrize(("function", "reference"), [*FUNCTIONS, pytest.param(map_normal_cdf, ndtr, id="normal_cdf32")])
def test_nan_stays_nan(function, reference):
    x = np.full(20, np.nan, np.float32)
    y = np.zeros_like(x)
    function(x, y)
    assert np.isnan(y).all()
