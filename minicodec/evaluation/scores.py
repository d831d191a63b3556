"""The measures of an evaluation: one table of them, the alignment that comes before, the use of the codebooks after.

Those that training also looks at are in `minicodec.metrics`; here they meet measures that model hearing:

    stoi    how much of speech can be understood [Taal11]; the package pystoi, in the extra "metrics"
    pesq    quality of speech over a telephone, ITU-T P.862.2; the package pesq, an extra that needs a C compiler
    visqol  quality of any sound, from the similarity of spectrograms as the ear makes them [Chinen20]; visqol/

Each has its blind spots (`METRICS` names them), so a claim about quality needs more than one, and listeners.
"""

import warnings
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from minicodec import audio, metrics
from minicodec.errors import InputError
from minicodec.evaluation.visqol import mos_lqo
from minicodec.fourier import correlate

LEAST_CORRELATION = 0.3  # of two signals that are versions of one: below it a peak can be chance. SI-SDR -10 dB
SHORTEST = 2048  # samples: the longest window of the spectral distances
PESQ_RATE = 16_000  # Hz, of its wide-band model


class Metric(NamedTuple):
    """A measure: what people call it, its unit, which end of the scale is good, what it says, the package it needs, how
    to take it.
    """

    title: str
    unit: str
    higher_is_better: bool
    meaning: str
    package: str | None
    function: Callable[[np.ndarray, np.ndarray, int], float]


EXTRAS = {"pystoi": "metrics", "pesq": "pesq"}  # package: the extra of minicodec that installs it


def measure(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Reference and estimate, (C,T) or (T,), aligned and at the same rate in Hz -> {name: value}, units in METRICS.

    names: which ones, in which order; by default all whose packages are installed. Of stereo, the distances and
    SI-SDR take both channels, the models of hearing their mean. A mono signal beside a stereo one counts as both
    of its channels, as it would come out of two loudspeakers.

    NaN where a measure is not defined: all but mel_distance and log_spectral_distance if the reference is silent (no
    sample but 0), pesq also if the estimate is; the three distances on fewer than 2048 samples; stoi with less than
    0.4 s of sound; pesq on less than 0.25 s, or if it finds no speech; visqol on less than 0.96 s.

    ValueError: different lengths, a name that is not in METRICS. InputError: the package for it is not installed.
    """
    reference, estimate = _like_channels(reference, estimate)
    if reference.shape != estimate.shape:
        raise ValueError(f"a reference of shape {reference.shape}, an estimate of {estimate.shape}: align them first")
    values = {}
    for name in installed() if names is None else names:
        if name not in METRICS:
            raise ValueError(f"{name}: not a metric; there are {', '.join(METRICS)}")
        package = METRICS[name].package
        if not _is_installed(package):
            raise InputError(f'{name}: needs the package {package}: pip install "minicodec[{EXTRAS[str(package)]}]"')
        values[name] = float(METRICS[name].function(reference, estimate, sample_rate))
    return values


def installed() -> list[str]:
    """The names of those METRICS that can be taken here."""
    return [name for name, metric in METRICS.items() if _is_installed(metric.package)]


def _is_installed(package: str | None) -> bool:
    return package is None or find_spec(package) is not None


def align(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, longest: float = 0.1
) -> tuple[np.ndarray, np.ndarray, int]:
    """Reference and estimate, (C,T) or (T,) -> both cut to where they overlap, and the estimate's delay in samples.

    The delay (negative: the estimate is early) is where the magnitude of the cross-correlation, summed over channels,
    is largest, among those up to `longest` seconds. The magnitude, so that a flipped polarity does not look like a
    delay of half a period. Without a correlation of 0.3 anywhere the peak may be chance, and the delay counts as 0.
    """
    s, e = _like_channels(reference, estimate)
    s, e = (x - x.mean(axis=-1, keepdims=True, dtype=np.float64) for x in (s, e))
    scale = np.sqrt((s * s).sum() * (e * e).sum())
    delay = 0
    if scale > 0:
        lags, correlation = correlate(e, s)
        correlation = np.abs(correlation.sum(axis=0)) / scale
        correlation[np.abs(lags) > longest * sample_rate] = 0
        if correlation.max() >= LEAST_CORRELATION:
            delay = int(lags[correlation.argmax()])
    reference, estimate = reference[..., max(0, -delay) :], estimate[..., max(0, delay) :]
    T = min(reference.shape[-1], estimate.shape[-1])
    return reference[..., :T], estimate[..., :T], delay


class CodebookUsage(NamedTuple):
    """One number per codebook, each (Q,) float64."""

    usage: np.ndarray  # share of the entries that occur at all
    perplexity: np.ndarray  # 2^entropy: so many equally frequent entries would be as hard to guess
    efficiency: np.ndarray  # entropy / log2 N: the share of the bits spent that carry information


def codebook_usage(codes: np.ndarray, entries: int) -> CodebookUsage:
    """Codes (Q,...) of any number of frames, integers below N = entries -> how the N entries of each book are used."""
    counts = np.stack([np.bincount(level.ravel(), minlength=entries) for level in codes])
    bits = metrics.entropy(counts)
    return CodebookUsage((counts > 0).mean(axis=1), 2**bits, bits / np.log2(entries))


def _like_channels(reference: np.ndarray, estimate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as (C,T); a mono one, if the other is not, repeated for each channel."""
    reference, estimate = np.atleast_2d(reference), np.atleast_2d(estimate)
    C = max(len(reference), len(estimate))
    reference, estimate = (np.repeat(x, C, axis=0) if len(x) == 1 else x for x in (reference, estimate))
    if len(reference) != len(estimate):
        raise ValueError(f"a reference of {len(reference)} channels, an estimate of {len(estimate)}")
    return reference, estimate


# The functions of the table: reference and estimate (C,T) of the same shape, rate in Hz -> value.


def _si_sdr(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return float(metrics.si_sdr(reference.ravel(), estimate.ravel()))  # one signal, one ratio


def _mel_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return metrics.mel_distance(reference, estimate, sample_rate) if reference.shape[1] >= SHORTEST else np.nan


def _stft_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return metrics.stft_distance(reference, estimate) if reference.shape[1] >= SHORTEST else np.nan


def _log_spectral_distance(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    return metrics.log_spectral_distance(reference, estimate) if reference.shape[1] >= SHORTEST else np.nan


def _stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    from pystoi import stoi

    if reference.shape[1] < 0.4 * sample_rate or not np.any(reference):
        return np.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames")  # for which pystoi returns a number all the same
        try:
            return float(stoi(reference.mean(axis=0), estimate.mean(axis=0), sample_rate))
        except RuntimeWarning:
            return np.nan


def _pesq(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float:
    from pesq import BufferTooShortError, NoUtterancesError, pesq

    if not np.any(reference) or not np.any(estimate):
        return np.nan
    mono = (x.mean(axis=0, keepdims=True) for x in (reference, estimate))
    s, e = (audio.resample(x, sample_rate, PESQ_RATE)[0] for x in mono)
    try:
        return float(pesq(PESQ_RATE, s, e, "wb"))
    except (BufferTooShortError, NoUtterancesError):
        return np.nan


METRICS = {
    "si_sdr": Metric(
        "SI-SDR", "dB", True, "the waveform: its power over that of the error, at the best volume", None, _si_sdr
    ),
    "mel_distance": Metric(
        "mel distance", "dB", False, "spectral envelopes at seven resolutions; no phase", None, _mel_distance
    ),
    "stft_distance": Metric(
        "STFT distance", "", False, "magnitudes of all bins, loud and soft, at three resolutions", None, _stft_distance
    ),
    "log_spectral_distance": Metric(
        "log-spectral distance", "dB", False, "levels of all bins, rms per frame", None, _log_spectral_distance
    ),
    "stoi": Metric("STOI", "0…1", True, "how much of speech can be understood, below 5 kHz", "pystoi", _stoi),
    "pesq": Metric(
        "PESQ", "MOS 1…4.64", True, "quality of speech over a wide-band telephone, below 8 kHz", "pesq", _pesq
    ),
    "visqol": Metric(
        "ViSQOL", "MOS 1…4.73", True, "quality of any sound; fitted at 24 kbps and more", None, mos_lqo
    ),
}
