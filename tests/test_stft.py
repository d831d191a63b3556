"""The STFT against its adjoint, against the transform's matrix written out, and against SciPy's."""

import numpy as np
import pytest
import scipy.signal

from minicodec.ops.stft import stft_backward, stft_forward, stft_magnitude_backward, stft_magnitude_forward

SIZES = [(64, 16, 300), (64, 64, 257), (60, 13, 251), (27, 9, 200), (16, 40, 170)]  # n_fft, hop, T


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("n_fft", "hop", "T"), SIZES)
def test_backward_is_the_adjoint(n_fft, hop, T, normalized, rng):
    """<A x, dy> = <x, Aᵀ dy> for all x and dy."""
    attrs = {"n_fft": n_fft, "hop": hop, "normalized": normalized}
    x = rng.normal(size=(3, T))
    y, saved = stft_forward(x, **attrs)
    dy = rng.normal(size=y.shape)
    (dx,) = stft_backward(dy, saved, **attrs)
    size = np.linalg.norm(y) * np.linalg.norm(dy)
    assert abs(np.vdot(y, dy) - np.vdot(x, dx)) < 1e-14 * size


@pytest.mark.parametrize(("n_fft", "hop", "T"), SIZES)
def test_equals_the_matrix_of_the_transform(n_fft, hop, T, rng):
    """Row (t, f) of the matrix is h[n] e^(-2πi f n / n_fft), starting at sample t·hop: no FFT, no framing, no irfft."""
    n = np.arange(n_fft)
    window = np.sin(np.pi * n / n_fft) ** 2
    kernel = window * np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), n) / n_fft)
    starts = range(0, T - n_fft + 1, hop)
    A = np.zeros((len(starts), len(kernel), T), complex)
    for t, start in enumerate(starts):
        A[t, :, start : start + n_fft] = kernel

    x = rng.normal(size=(2, T))
    y, saved = stft_forward(x, n_fft=n_fft, hop=hop)
    Y = np.einsum("tfn,bn->btf", A, x)
    np.testing.assert_allclose(y[..., 0], Y.real, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y[..., 1], Y.imag, rtol=0, atol=1e-12)

    dy = rng.normal(size=y.shape)
    expected = np.einsum("tfn,btf->bn", A.real, dy[..., 0]) + np.einsum("tfn,btf->bn", A.imag, dy[..., 1])
    np.testing.assert_allclose(stft_backward(dy, saved, n_fft=n_fft, hop=hop)[0], expected, rtol=0, atol=1e-12)


def test_equals_scipy(rng):
    x = rng.normal(size=4000)
    window = scipy.signal.get_window("hann", 256)
    peer = scipy.signal.ShortTimeFFT(window, hop=64, fs=1, phase_shift=None)
    first, last = peer.lower_border_end[1], peer.upper_border_begin(len(x))[1]  # SciPy's frames within the signal
    Y = peer.stft(x, p0=first, p1=last).T
    y, _ = stft_forward(x[None], n_fft=256, hop=64)
    assert y.shape[1] == len(Y) == 1 + (4000 - 256) // 64
    np.testing.assert_allclose(y[0, ..., 0] + 1j * y[0, ..., 1], Y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_fft", [64, 1024])
def test_normalized_white_noise_has_power_one(n_fft, rng):
    """E|Y|² = Σ h² / Σ h² = 1 at every window size (here within five standard errors)."""
    x = rng.normal(size=(1, n_fft * 2000))
    y, _ = stft_magnitude_forward(x, n_fft=n_fft, hop=n_fft, normalized=True)
    power = (y[..., 1:-1] ** 2).mean()
    assert abs(power - 1) < 5 / np.sqrt(2000 * (n_fft // 2 - 1))


def test_a_tone_stands_in_its_bin():
    x = np.cos(2 * np.pi * 10 / 64 * np.arange(256))[None]
    y, _ = stft_magnitude_forward(x, n_fft=64, hop=16)
    assert (y.argmax(axis=2) == 10).all()
    np.testing.assert_allclose(y[..., 10], 16, rtol=1e-12)  # half the sum of the window


def test_gradient_of_silence_is_zero():
    """At Y = 0 the magnitude has no derivative; the gradient there is 0, not a NaN."""
    x = np.zeros((1, 100), np.float32)
    y, saved = stft_magnitude_forward(x, n_fft=16, hop=4)
    (dx,) = stft_magnitude_backward(np.ones_like(y), saved, n_fft=16, hop=4)
    np.testing.assert_array_equal(dx, np.zeros_like(x))


@pytest.mark.parametrize("forward", [stft_forward, stft_magnitude_forward])
def test_too_short_a_signal(forward):
    with pytest.raises(ValueError, match="15 samples are shorter than one window of 16"):
        forward(np.zeros((1, 15)), n_fft=16, hop=4)
