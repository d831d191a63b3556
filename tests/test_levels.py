"""The levels of octaves, against SciPy's Welch and Butterworth."""

import numpy as np
import pytest
from scipy import signal

from minicodec.evaluation import levels


@pytest.mark.parametrize(
    ("rate", "lows"),
    [(8000, [62, 125, 250, 500, 1000, 2000]), (24_000, [62, 125, 250, 500, 1000, 2000, 4000, 8000])],
)
def test_octaves_reach_half_the_rate(rate, lows):
    assert levels.names(rate) == [f"level_{low}" for low in lows]
    assert list(levels.measure(np.ones((1, 4000)), np.ones((1, 4000)), rate)) == levels.names(rate)


def test_levels_are_those_of_welch(rng):
    rate = 24_000
    x = 0.1 * rng.normal(size=(2, 3 * rate))
    y = signal.sosfilt(signal.butter(2, 1500, fs=rate, output="sos"), x) * [[1.0], [0.5]]
    options = {"fs": rate, "window": "hann", "nperseg": 2048, "noverlap": 1536, "detrend": False}
    f, (p, q) = signal.welch(x, **options)[0], (signal.welch(z, **options)[1].mean(axis=0) for z in (x, y))
    measured = levels.measure(x, y, rate)
    for low, high in [(62.5, 125), (500, 1000), (1000, 2000), (4000, 8000), (8000, 12_000)]:
        inside = (f >= low) & (f < high)
        expected = 10 * np.log10(q[inside].sum() / p[inside].sum())
        assert measured[f"level_{low:.0f}"] == pytest.approx(expected, abs=1e-9)
    assert measured["level_125"] == pytest.approx(10 * np.log10((1 + 0.25) / 2), abs=0.1)
    assert measured["level_4000"] < -18


def test_where_the_reference_has_nothing_there_is_no_level(rng):
    """0.001 of white noise: -60 dB, spread evenly over 12 kHz, of which an octave from 62.5 Hz has -83 dB."""
    x = 1e-3 * rng.normal(size=(1, 24_000))
    measured = levels.measure(x, 2 * x, 24_000)
    assert np.isnan(measured["level_62"])
    assert measured["level_8000"] == pytest.approx(20 * np.log10(2))
    assert all(np.isnan(level) for level in levels.measure(0 * x, x, 24_000).values())


def test_silence_counts_as_a_hundred_decibels_below_full_scale(rng):
    x = rng.normal(size=(1, 24_000))
    measured = levels.measure(x, 0 * x, 24_000)
    assert measured["level_8000"] == pytest.approx(-100 - 10 * np.log10(4 / 12), abs=0.2)  # 4 of 12 kHz


def test_a_signal_shorter_than_a_window(rng):
    x = 0.1 * rng.normal(size=(1, 1000))
    assert levels.measure(x, x / 2, 8000)["level_1000"] == pytest.approx(20 * np.log10(0.5))
