"""Convolution and correlation by the Fourier transform, against their sums and scipy."""

import numpy as np
import pytest
from scipy import signal

from minicodec.evaluation.baselines import lowpass, lowpass_filter
from minicodec.fourier import convolve, correlate, envelope


@pytest.mark.parametrize(("T", "K"), [(1, 1), (7, 3), (3, 7), (64, 1), (33, 32), (1000, 577)])
def test_convolution_is_the_sum(T, K, rng):
    x, w = rng.normal(size=(2, T)), rng.normal(size=K)
    expected = np.stack([np.convolve(one, w) for one in x])
    np.testing.assert_allclose(convolve(x, w[None]), expected, atol=1e-12)
    np.testing.assert_allclose(convolve(x.T, w[:, None], axis=0), expected.T, atol=1e-12)


def test_convolution_keeps_the_type(rng):
    x, w = rng.normal(size=50), rng.normal(size=9)
    assert convolve(x, w).dtype == np.float64
    y = convolve(x.astype(np.float32), w.astype(np.float32))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, np.convolve(x, w), atol=1e-5)


@pytest.mark.parametrize(("T", "S"), [(40, 40), (40, 7), (7, 40), (1, 1)])
def test_correlation_and_its_lags_are_those_of_scipy(T, S, rng):
    x, y = rng.normal(size=T), rng.normal(size=S)
    lags, c = correlate(x, y)
    np.testing.assert_array_equal(lags, signal.correlation_lags(T, S))
    np.testing.assert_allclose(c, signal.correlate(x, y, method="direct"), atol=1e-12)


def test_a_delay_is_where_the_correlation_peaks(rng):
    y = rng.normal(size=100)
    lags, c = correlate(np.concatenate([np.zeros(13), y]), y)
    assert lags[c.argmax()] == 13


@pytest.mark.parametrize("T", [1, 2, 3, 64, 101])
def test_the_envelope_is_that_of_scipy(T, rng):
    x = rng.normal(size=(2, T))
    np.testing.assert_allclose(envelope(x), np.abs(signal.hilbert(x)), atol=1e-12)


@pytest.mark.parametrize(("hertz", "rate"), [(3500, 24_000), (7000, 48_000), (3500, 16_000)])
def test_the_anchors_filter_is_that_of_scipy(hertz, rate, rng):
    taps, beta = signal.kaiserord(60, 500 / (rate / 2))
    w = signal.firwin(taps | 1, hertz + 250, window=("kaiser", beta), fs=rate)
    np.testing.assert_allclose(lowpass_filter(hertz + 250, rate), w, atol=1e-12)
    x = rng.normal(size=(2, 3000))
    expected = signal.oaconvolve(x, w[None], mode="same", axes=1)
    np.testing.assert_allclose(lowpass(x, rate, hertz), expected, atol=1e-6)
