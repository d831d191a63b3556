"""How far is a decoded signal from the original? Measures on plain arrays; and the mel filters they are made with.

Four measures, since none of them is enough:

    si_sdr              of the waveform: sees phase. Good at high bitrates; a codec that re-invents fine structure,
                        as adversarially trained ones do, can sound good and score low
    mel_distance        of the spectral envelope, about as finely as the ear resolves frequency; blind to phase, and
                        so nearly the same for models that sound very different
    stft_distance       of the magnitudes in all bins, at three resolutions
    log_spectral_distance   of the levels of all bins, in decibels: soft bins count like loud ones

And `entropy`: how evenly the entries of a codebook are used.
"""

import numpy as np

from minicodec.ops.stft import hann, spectrum

MEL_FLOOR = 1e-5  # added before the logarithm: 100 dB below 1
MEL_WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)  # samples [Defossez22, §3.4]
STFT_WINDOWS = (512, 1024, 2048)  # samples [Yamamoto20]
LSD_WINDOW = 2048  # samples


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Scale-invariant signal-to-distortion ratio: reference (...,T), estimate (...,T) -> dB (...) [LeRoux19].

        p = (<e,s> / ‖s‖²) s          10 log10 (‖p‖² / ‖e - p‖²)

    with s and e the signals without their means: p is as much of the reference as the estimate holds, and the rest
    is distortion. A constant reference gives NaN, for there is nothing to compare with; an estimate that is the
    scaled reference, infinity; one that is orthogonal to it (silence is), minus infinity.
    """
    s = reference - reference.mean(axis=-1, keepdims=True, dtype=np.float64)
    e = estimate - estimate.mean(axis=-1, keepdims=True, dtype=np.float64)
    energy = (s * s).sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = (e * s).sum(axis=-1, keepdims=True) / energy * s
        signal, distortion = (p * p).sum(axis=-1), ((e - p) ** 2).sum(axis=-1)
        ratio = np.where(signal == 0, 0.0, signal / distortion)
        return np.where(energy[..., 0] == 0, np.nan, 10 * np.log10(ratio))


def mel_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    """Mean |difference| of two signals' mel spectrograms in dB, (...,T) each, T >= 2048, over windows 32 … 2048."""
    differences = []
    for window in MEL_WINDOWS:
        filters = mel_filterbank(sample_rate, window, mel_bins(window, sample_rate))
        a, b = (np.log10(MEL_FLOOR + _magnitudes(x, window) @ filters) for x in (reference, estimate))
        differences.append(np.abs(a - b).mean())
    return float(20 * np.mean(differences))


def stft_distance(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Multi-resolution STFT distance of two signals, (...,T) each, T >= 2048 [Yamamoto20]; 0 for equal ones.

    The mean over three windows of

        spectral convergence  ‖|S| - |E|‖ / ‖|S|‖    +    mean |ln |S| - ln |E||

    The first is ruled by the loud bins, the second by all alike. A silent reference gives NaN.
    """
    if not np.any(reference):
        return float("nan")
    distances = []
    for window in STFT_WINDOWS:
        S, E = _magnitudes(reference, window), _magnitudes(estimate, window)
        convergence = np.linalg.norm(S - E) / np.linalg.norm(S)
        distances.append(convergence + np.abs(np.log(MEL_FLOOR + S) - np.log(MEL_FLOOR + E)).mean())
    return float(np.mean(distances))


def log_spectral_distance(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Log-spectral distance of two signals in dB, (...,T) each, T >= 2048 [Gray76].

        mean over frames of  sqrt( mean over bins of (20 log10 |S| - 20 log10 |E|)² )

    The root mean square over the bins of a frame: a few bins far off count for more than many that are slightly off.
    """
    S, E = (20 * np.log10(MEL_FLOOR + _magnitudes(x, LSD_WINDOW)) for x in (reference, estimate))
    return float(np.sqrt(((S - E) ** 2).mean(axis=-1)).mean())


def entropy(counts: np.ndarray) -> np.ndarray:
    """How often each of N entries was chosen, counts (...,N) -> entropy of the choices in bits, (...).

    log2 N if all are equally frequent, 0 if there is only one. 2^entropy is their perplexity: among so many equally
    frequent entries the choice would be as hard to guess. Counts of 0 throughout give NaN.
    """
    with np.errstate(invalid="ignore"):
        p = counts / counts.sum(axis=-1, keepdims=True)
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=-1)


def _magnitudes(x: np.ndarray, window: int) -> np.ndarray:
    """x (...,T) -> |STFT| (B,To,F) in float64, hop window/4, normalised so that white noise has 1 at any window."""
    x = np.asarray(x, np.float64).reshape(-1, x.shape[-1])
    return np.abs(spectrum(x, window, window // 4, hann(window, x, normalized=True)))


# Mel filters. Pitch, as we hear it, is nearly linear in frequency below 700 Hz and logarithmic above; a mel is such a
# step of pitch.


def mel_bins(window: int, sample_rate: int) -> int:
    """How many mel filters a window of so many samples can fill: 5, 10, 20, … 320 for 32, 64, 128, … 2048.

    A window of w samples has a value every sample_rate/w Hz. The customary 64 filters are narrower than that at the
    low end of a small window: at 24 kHz, 36 of them lie between two values for w = 32, and are always 0.
    """
    return max(1, int(window * 5 / 32 * min(1, 24_000 / sample_rate)))


def mel_filterbank(sample_rate: int, window: int, bins: int) -> np.ndarray:
    """Triangular filters from 0 Hz to half the sample rate -> (F,bins), F = window//2 + 1: |STFT| @ filters.

    The corners stand at equal distances in mel, m = 2595 log10(1 + f/700) with f in Hz; each triangle rises from the
    centre of the one below it to 1 at its own, and falls to the centre of the one above.

    ValueError: a filter so narrow that none of the F frequencies lies in it.
    """
    filters = triangles(sample_rate, window, bins, 0.0)
    empty = int((filters.max(axis=0) == 0).sum())
    if empty:
        raise ValueError(f"{empty} of {bins} mel filters are empty at {sample_rate} Hz with windows of {window}")
    return filters


def triangles(sample_rate: int, window: int, bins: int, lowest: float) -> np.ndarray:
    """The same filters from `lowest` Hz on, also where some are empty."""
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate)
    first, last = (2595 * np.log10(1 + f / 700) for f in (lowest, sample_rate / 2))
    corners = 700 * (10 ** (np.linspace(first, last, bins + 2) / 2595) - 1)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequencies[:, None] - low) / (centre - low)
    falling = (high - frequencies[:, None]) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling))
