"""A spectrogram as the inner ear takes it: the output of a gammatone filter bank, frame by frame.

A point of the basilar membrane answers best to one frequency, and to its neighbours the less the farther away they
are; how far is called its equivalent rectangular bandwidth, 24.7 Hz + f/9.26 [Glasberg90]. Its response to a click is
a tone that swells and dies away like a gamma distribution, t³ e^(-2π·1.019·ERB·t) cos(2π f t), and four biquads in a
row give just that [Slaney93]:

    H(z)  =  g Π_k  (1 - r (cos θ + c_k sin θ) z⁻¹) / (1 - 2 r cos θ z⁻¹ + r² z⁻²)        c_k = ±(√2 + 1), ±(√2 - 1)

with θ = 2π f / sample rate, r = e^(-2π·1.019·ERB / sample rate), and g such that |H| = 1 at the centre f. [Chinen20]
cuts the signal into windowed frames first, and filters each of them from rest.
"""

from importlib import import_module

import numpy as np

from minicodec.backend import active

WINDOW = 0.08  # seconds
HOPS_PER_WINDOW = 4
LOWEST = 50.0  # Hz, the lowest centre
EAR_Q, LEAST_BANDWIDTH = 9.26449, 24.7  # of the equivalent rectangular bandwidth; the second in Hz
QUIET_DB = -45.0  # what is below counts as silence
DYNAMIC_DB = 45.0  # so far below the loudest band of a frame, a band is masked


def window_and_hop(sample_rate: int) -> tuple[int, int]:
    """Samples per window, and from one to the next."""
    window = round(WINDOW * sample_rate)
    return window, window // HOPS_PER_WINDOW


def centre_frequencies(bands: int, highest: float) -> np.ndarray:
    """Centres (F,) in Hz, F = bands, ascending from 50 Hz, at equal distances in bandwidths; the next is `highest`."""
    corner = EAR_Q * LEAST_BANDWIDTH
    return np.geomspace(LOWEST + corner, highest + corner, bands + 1)[:-1] - corner


def biquads(centres: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (F,) in Hz -> numerators b1 (4,F), denominators a1 and a2 (2,F), g (F,).

    Each section is (1 + b1 z⁻¹) / (1 + a1 z⁻¹ + a2 z⁻²); a band has the same denominator in all four.
    """
    θ = 2 * np.pi * centres / sample_rate
    r = np.exp(-2 * np.pi * 1.019 * (centres / EAR_Q + LEAST_BANDWIDTH) / sample_rate)
    c = np.array([2**0.5 + 1, -(2**0.5) - 1, 2**0.5 - 1, 1 - 2**0.5])[:, None]
    b1 = -r * (np.cos(θ) + c * np.sin(θ))
    a1, a2 = -2 * r * np.cos(θ), r * r
    z = np.exp(-1j * θ)  # z⁻¹ at the centre
    g = 1 / np.abs(np.prod((1 + b1 * z) / (1 + a1 * z + a2 * z * z), axis=0))
    return b1, np.stack([a1, a2]), g


def spectrogram(samples: np.ndarray, sample_rate: int, bands: int) -> np.ndarray:
    """Samples (T,) -> root mean square of each band in each frame (To,F), F = bands up to half the sample rate.

    Frames of 80 ms under a Hann window, 20 ms apart, wholly inside the signal. ValueError: shorter than a window.
    """
    window, hop = window_and_hop(sample_rate)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float64), window)[::hop]
    b1, a, g = biquads(centre_frequencies(bands, sample_rate / 2), sample_rate)
    return g * np.sqrt(energies(frames * np.hanning(window), b1, a) / window)


def energies(frames: np.ndarray, b1: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Frames (To,N) -> energy of each, filtered from rest by four biquads in a row without their gain, (To,F)."""
    if active() == "numba":
        fast = import_module("minicodec.kernels.cpu.gammatone")
        result: np.ndarray = fast.energies(frames, b1, a)
        return result
    To, N = frames.shape
    F = b1.shape[1]
    total = np.zeros((To, F))
    z0, z1 = np.zeros((2, 4, To, F))  # the biquads' states, in transposed direct form II: at rest
    for n in range(N):
        x = frames[:, n, None]
        for k in range(4):
            y = x + z0[k]
            z0[k] = b1[k] * x - a[0] * y + z1[k]
            z1[k] = -a[1] * y
            x = y  # the input of the next
        total += x * x
    return total


def audible(reference: np.ndarray, degraded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two spectrograms of root mean squares (T,F), T may differ -> in dB above the same floor, >= 0.

    What is too quiet, or in its frame too far below the loudest band of the two, cannot be heard and is raised to
    what can. ViSQOL's decibel here is 10 log10 of an amplitude, so its 45 dB are 90 dB of level.
    """
    tiny = np.finfo(np.float64).eps
    S, D = (np.maximum(10 * np.log10(np.where(x == 0, tiny, x)), QUIET_DB) for x in (reference, degraded))
    T = min(len(S), len(D))
    masked = np.maximum(S[:T].max(axis=1), D[:T].max(axis=1))[:, None] - DYNAMIC_DB
    S[:T], D[:T] = np.maximum(S[:T], masked), np.maximum(D[:T], masked)
    floor = min(S.min(), D.min())
    return S - floor, D - floor
