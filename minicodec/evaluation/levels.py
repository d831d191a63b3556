"""How loud each octave comes back.

What a codec cannot code, it often makes too soft, and then it sounds dull. Distances are large where the spectrum is
wrong and do not say which way; this does.
"""

from itertools import pairwise

import numpy as np

from minicodec.ops.stft import hann, spectrum

LOWEST = 62.5  # Hz, where the first octave begins
SOFTEST, SILENCE = 1e-8, 1e-10  # powers of samples within ±1: less is noise of converters and filters; 0 has no level
WINDOW = 2048  # samples


def names(sample_rate: int) -> list[str]:
    """Those of the octaves from 62.5 Hz to half the sample rate, by where they begin, such as level_1000; the last one
    may be a part of an octave.
    """
    return [f"level_{low:.0f}" for low in _edges(sample_rate)[:-1]]


def measure(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Reference and estimate, (C,T) at the same rate in Hz -> {name: dB}, the estimate's level less the reference's.

    NaN for an octave in which the reference has nothing, that is, less than -80 dB. Silence of the estimate is -100 dB.
    """
    frequencies = np.fft.rfftfreq(WINDOW, 1 / sample_rate)
    spectra = _power(reference), _power(estimate)
    levels = {}
    for name, (low, high) in zip(names(sample_rate), pairwise(_edges(sample_rate)), strict=True):
        inside = (low <= frequencies) & (frequencies < high)
        original, decoded = (power[inside].sum() for power in spectra)
        ratio = max(decoded, SILENCE) / original if original >= SOFTEST else np.nan
        levels[name] = float(10 * np.log10(ratio))
    return levels


def _edges(sample_rate: int) -> list[float]:
    edges = [LOWEST]
    while edges[-1] * 2 < sample_rate / 2:
        edges.append(edges[-1] * 2)
    return [*edges, sample_rate / 2]


def _power(x: np.ndarray) -> np.ndarray:
    """x (C,T) -> (F,), the power of each frequency, whose sum is the mean square."""
    x = np.pad(np.asarray(x, np.float64), ((0, 0), (0, max(0, WINDOW - x.shape[1]))))
    magnitudes = abs(spectrum(x, WINDOW, WINDOW // 4, hann(WINDOW, x, normalized=True)))
    return (magnitudes**2).mean(axis=(0, 1)) * (2 / WINDOW)
