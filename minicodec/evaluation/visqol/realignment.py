"""Alignment in time, of whole signals and of pieces: by the delay at which their envelopes correlate best.

A phase that a codec has turned moves the peaks of a waveform, but not those of its envelope.
"""

import numpy as np

from minicodec.evaluation.visqol.gammatone import audible, spectrogram, window_and_hop
from minicodec.evaluation.visqol.nsim import compare, with_statistics
from minicodec.fourier import correlate, envelope


def delay(reference: np.ndarray, degraded: np.ndarray) -> int:
    """By how many samples `degraded` must be delayed to lie at the reference; 0 if by more than half of that."""
    s, d = (envelope(x - x.mean()) + x.mean() for x in (reference, degraded))
    lags, correlation = correlate(s, d)
    best = int(lags[correlation.argmax()])
    return best if abs(best) <= len(reference) / 2 else 0


def align(reference: np.ndarray, degraded: np.ndarray) -> np.ndarray:
    """The degraded signal (T,), with silence before it or cut at its beginning, so that it lies at the reference."""
    return _delayed(degraded, delay(reference, degraded))


def piece(signal: np.ndarray, start: int, width: int, sample_rate: int) -> np.ndarray:
    """What begins at frame `start` of a signal (T,) and lasts as long as `width` frames are apart -> (n,).

    As ViSQOL cuts it: in seconds, where a product rounded down costs a sample, and with it a frame; and with the
    silence that stands for what lies beyond the end in front, from where the alignment will move it. Scores depend
    on both.
    """
    frame = window_and_hop(sample_rate)[1] / sample_rate
    begin, end = (seconds * sample_rate for seconds in (start * frame, start * frame + width * frame))
    sound = signal[int(begin) : min(len(signal) - 1, int(end))]
    return np.concatenate([np.zeros(max(0, int(end - len(signal)))), sound])


def realigned(reference: np.ndarray, degraded: np.ndarray, sample_rate: int, bands: int) -> np.ndarray | None:
    """Two pieces of signal that belong together -> their similarity in each band (F,) once they are aligned.

    None if they overlap in less than a window.
    """
    by = delay(reference, degraded)
    degraded = _delayed(degraded, by)
    if len(degraded) > len(reference):
        reference, degraded = (x[max(0, by) :] for x in (reference, degraded))
    window, _ = window_and_hop(sample_rate)
    common = min(len(reference), len(degraded))
    if common <= window:
        return None
    s, d = audible(*(spectrogram(x[:common], sample_rate, bands) for x in (reference, degraded)))
    return compare(with_statistics(s), with_statistics(d)).mean(axis=0)


def _delayed(x: np.ndarray, by: int) -> np.ndarray:
    return np.concatenate([np.zeros(by), x]) if by > 0 else x[-by:]
