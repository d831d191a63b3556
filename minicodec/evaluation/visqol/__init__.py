"""ViSQOL v3: the score that listeners would give a degraded sound beside its reference [Chinen20], in NumPy.

    spectrograms    what the ear makes of both                          gammatone.py
    patches         pieces of 0.4 or 0.6 s, found again in the other    matching.py
    realignment     each piece once more, aligned to the sample         realignment.py
    similarity      of the pieces, in every band                        nsim.py
    score           a curve fitted to listening tests                   quality.py

Two modes: "audio" for everything, at 48 kHz; "speech" up to 8 kHz, where only the parts with a voice count.

It models listeners, and does not replace them: fitted to classical codecs at 24 kbps and more, it can rank the output
of adversarially trained codecs backwards. Never let it be the only evidence.

The steps and the constants are those of github.com/google/visqol, for which speech mode has a second, learned map;
this is its option use_lattice_model=false.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicodec import audio
from minicodec.evaluation.visqol.gammatone import audible, spectrogram, window_and_hop
from minicodec.evaluation.visqol.matching import LOST, evenly_spaced, match, windows, with_voice
from minicodec.evaluation.visqol.nsim import compare, with_statistics
from minicodec.evaluation.visqol.quality import audio_mos, speech_mos
from minicodec.evaluation.visqol.realignment import align, piece, realigned

HARDLY_SIMILAR = 0.15  # mean similarity below which the score is 1


class Mode(NamedTuple):
    """What differs between the two modes."""

    sample_rate: int  # Hz
    bands: int
    width: int  # frames of a patch
    choose: Callable[[int, int, np.ndarray, int], np.ndarray]
    mos: Callable[[np.ndarray], float]


MODES = {
    "audio": Mode(48_000, 32, 30, evenly_spaced, audio_mos),
    "speech": Mode(16_000, 21, 20, with_voice, speech_mos),
}


def mos_lqo(reference: np.ndarray, estimate: np.ndarray, sample_rate: int, mode: str = "audio") -> float:
    """Reference and estimate, (C,T) or (T,) at the same rate in Hz -> score from 1 to 5; mode "audio" or "speech".

    Channels are mixed to mono, both are resampled, the estimate is brought to the level of the reference and
    aligned: volume, polarity and a constant delay cost nothing. Equal signals get 4.73 as audio, 5 as speech; a
    silent estimate (no sample but 0), which has no level, gets 1.

    NaN where there is nothing to judge: a silent reference, less than 0.96 s of audio or 0.62 s of speech, no voice
    in speech mode. ValueError: another mode.
    """
    if mode not in MODES:
        raise ValueError(f"{mode}: not a mode of ViSQOL; there are {', '.join(MODES)}")
    rate = MODES[mode].sample_rate
    mono = (np.atleast_2d(x).mean(axis=0, keepdims=True) for x in (reference, estimate))
    s, e = (audio.resample(x, sample_rate, rate)[0].astype(np.float64) for x in mono)
    bands = similarity(s, e, MODES[mode])
    return 1.0 if bands.mean() < HARDLY_SIMILAR else MODES[mode].mos(bands)


def similarity(reference: np.ndarray, degraded: np.ndarray, mode: Mode) -> np.ndarray:
    """Two signals (T,), T may differ, at the mode's rate -> in each band the mean over the patches of NSIM, (F,).

    A patch that is lost in the degraded signal counts 0. NaN if there is no patch to compare.
    """
    nothing = np.full(mode.bands, np.nan)
    window, _ = window_and_hop(mode.sample_rate)
    if not np.any(reference) or min(len(reference), len(degraded)) <= window:
        return nothing
    degraded = align(reference, degraded)
    if len(degraded) <= window:
        return nothing
    power = (degraded**2).mean()
    if power > 0:
        degraded = degraded * np.sqrt((reference**2).mean() / power)
    S, D = audible(*(spectrogram(x, mode.sample_rate, mode.bands) for x in (reference, degraded)))

    W = mode.width
    starts = mode.choose(len(S), W, reference, mode.sample_rate)
    starts = starts[starts <= len(D) + W // 2]
    if not len(starts):
        return nothing
    if power == 0:  # where the reference pauses, silence would be like it
        return np.zeros(mode.bands)
    chosen = with_statistics(windows(S, W)[starts])
    places = match(chosen, starts, D)
    result = compare(chosen, with_statistics(windows(D, W)[places])).mean(axis=1)
    for p, (start, place) in enumerate(zip(starts, places, strict=True)):
        if place == LOST:
            result[p] = 0
            continue
        s, d = (piece(x, i, W, mode.sample_rate) for x, i in ((reference, start), (degraded, place)))
        closer = realigned(s, d, mode.sample_rate, mode.bands)
        if closer is not None and closer.mean() >= result[p].mean():
            result[p] = closer
    return result.mean(axis=0)
