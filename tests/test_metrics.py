"""The measures against cases whose answer is known, and the mel filters against triangles drawn another way."""

import numpy as np
import pytest
from scipy import signal

from minicodec.metrics import (
    MEL_WINDOWS,
    entropy,
    log_spectral_distance,
    mel_bins,
    mel_distance,
    mel_filterbank,
    si_sdr,
    stft_distance,
)

RATES = (8_000, 16_000, 24_000, 44_100, 48_000)


@pytest.mark.parametrize("db", [-20.0, 0.0, 6.5, 40.0])
def test_si_sdr_of_a_known_mixture(db, rng):
    """Noise made orthogonal to the signal and scaled to a level: the ratio is that level, at any volume and offset."""
    s = rng.normal(size=(2, 4000))
    s -= s.mean(axis=1, keepdims=True)
    n = rng.normal(size=s.shape)
    n -= n.mean(axis=1, keepdims=True)
    n -= (n * s).sum(axis=1, keepdims=True) / (s * s).sum(axis=1, keepdims=True) * s
    n *= np.sqrt((s * s).sum(axis=1) / (n * n).sum(axis=1) / 10 ** (db / 10))[:, None]
    np.testing.assert_allclose(si_sdr(s, s + n), [db, db], rtol=0, atol=1e-9)
    np.testing.assert_allclose(si_sdr(s + 5, 0.3 * (s + n) - 7), [db, db], rtol=0, atol=1e-9)


def test_si_sdr_at_its_ends():
    s = np.array([1.0, -1, 1, -1])
    assert si_sdr(s, 2 * s) == np.inf
    assert si_sdr(s, np.zeros(4)) == -np.inf
    assert si_sdr(s, np.array([1.0, 1, -1, -1])) == -np.inf
    assert np.isnan(si_sdr(np.ones(4), s))


def test_mel_distance_counts_decibels(rng):
    """At half the level everything is 6.02 dB lower; and the sign of the waveform does not matter."""
    x = rng.normal(size=(1, 8000))
    assert mel_distance(x, -x, 24_000) == 0
    assert mel_distance(x, x / 2, 24_000) == pytest.approx(20 * np.log10(2), abs=0.01)
    assert mel_distance(x, x / 2, 24_000) == mel_distance(x / 2, x, 24_000)


def test_stft_distance_of_half_the_level(rng):
    """Spectral convergence 1/2, and ln 2 in every bin."""
    x = 1e3 * rng.normal(size=(1, 8000))
    assert stft_distance(x, -x) == 0
    assert stft_distance(x, x / 2) == pytest.approx(0.5 + np.log(2), abs=1e-4)


def test_stft_distance_from_silence(rng):
    x = rng.normal(size=(1, 4096))
    assert np.isnan(stft_distance(0 * x, x))
    assert np.isnan(stft_distance(0 * x, 0 * x))


def test_log_spectral_distance_is_the_formula(rng):
    """With scipy's spectra: Hann windows of 2048, three quarters overlapping, scaled to 1 for white noise."""
    x, y = rng.normal(size=(2, 9000)), rng.normal(size=(2, 9000))
    y[0, :3000] = 0
    levels = []
    for wav in (x, y):
        _, _, S = signal.stft(wav, window="hann", nperseg=2048, noverlap=1536, boundary=None, padded=False)
        S = np.abs(S) * np.sqrt(2048 / 1.5)  # scipy divides by Σ h = 1024, not by sqrt(Σ h²) = sqrt(768)
        levels.append(20 * np.log10(S + 1e-5))
    frames = [np.sqrt(np.mean(d**2)) for d in np.moveaxis(levels[0] - levels[1], 1, 2).reshape(-1, 1025)]
    assert log_spectral_distance(x, y) == pytest.approx(np.mean(frames), rel=1e-9)


def test_log_spectral_distance_counts_decibels(rng):
    x = 1e3 * rng.normal(size=(1, 8000))
    assert log_spectral_distance(x, -x) == 0
    assert log_spectral_distance(x, x / 10) == pytest.approx(20, abs=1e-3)


def test_entropy_of_known_choices():
    """A sure thing; a fair coin; a die of four; 1/2, 1/4, 1/4; no choice was made."""
    counts = np.array([[0, 9, 0, 0], [5, 5, 0, 0], [3, 3, 3, 3], [2, 1, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(entropy(counts), [0, 1, 2, 1.5, np.nan], atol=1e-12)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("window", MEL_WINDOWS)
def test_filters_are_triangles(window, sample_rate):
    """HTK's mel scale; every triangle drawn by interpolation between its three corners."""
    bins = mel_bins(window, sample_rate)
    filters = mel_filterbank(sample_rate, window, bins)
    frequencies = np.arange(window // 2 + 1) * sample_rate / window
    step = 2595 / np.log(10) * np.log1p(sample_rate / 1400) / (bins + 1)
    corners = [700 * np.expm1(i * step * np.log(10) / 2595) for i in range(bins + 2)]
    expected = [np.interp(frequencies, corners[i : i + 3], [0, 1, 0]) for i in range(bins)]
    np.testing.assert_allclose(filters, np.stack(expected, axis=1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("sample_rate", RATES)
@pytest.mark.parametrize("window", MEL_WINDOWS)
def test_no_filter_is_empty(window, sample_rate):
    assert mel_filterbank(sample_rate, window, mel_bins(window, sample_rate)).max(axis=0).min() > 0


def test_the_bins_are_the_customary_ones():
    assert [mel_bins(w, 24_000) for w in MEL_WINDOWS] == [5, 10, 20, 40, 80, 160, 320]


@pytest.mark.parametrize(("window", "empty"), [(32, 36), (64, 22)])
def test_empty_filters_are_refused(window, empty):
    with pytest.raises(ValueError, match=f"^{empty} of 64 mel filters are empty at 24000 Hz"):
        mel_filterbank(24_000, window, 64)
