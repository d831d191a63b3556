"""Which patches of the reference are compared, and where in the degraded signal each of them is found again.

A codec or a network may delay parts of a signal by different amounts, or lose some. So the reference is cut into
patches, and a path is sought, by dynamic programming, that gives each patch a place in the degraded spectrogram: the
places in the same order as the patches, the sum of the similarities as large as possible [Hines15].
"""

import numpy as np

from minicodec.evaluation.visqol.gammatone import window_and_hop
from minicodec.evaluation.visqol.nsim import Patches, compare, with_statistics

SEARCH = 60  # patches before and after its own place in which a patch is sought
LOST = -1
VOICE = 5000 / 32768  # root mean square of a 20 ms chunk, with the peak at 1, from which somebody speaks
HANGOVER = 2  # chunks for which speech counts as going on


def evenly_spaced(frames: int, width: int, reference: np.ndarray, sample_rate: int) -> np.ndarray:
    """Where patches of `width` frames begin (P,), one after the other, in a spectrogram of so many: for any sound.

    The signal itself plays no part.
    """
    starts = np.arange(width // 2 - 1, max(frames - width - 1, width // 2), width)
    return starts[starts + width < frames]


def with_voice(frames: int, width: int, reference: np.ndarray, sample_rate: int) -> np.ndarray:
    """Where patches of `width` frames begin (P,), one after the other, without those in which nobody speaks.

    reference (T,) is the signal that the spectrogram of so many frames shows.
    """
    first = width // 2 - 1
    count = max(0, (frames - first) // width)
    _, hop = window_and_hop(sample_rate)
    # `first` is a number of frames; that samples are skipped is as in ViSQOL, and half a millisecond.
    chunks = reference[first : first + count * width * hop].reshape(-1, hop)
    loud = np.sqrt((chunks**2).mean(axis=1)) >= VOICE * reference.max()
    voice = loud.copy()
    for late in range(1, HANGOVER + 1):
        voice[late:] |= loud[:-late]
    voice[:HANGOVER] = True
    return first + width * np.flatnonzero(voice.reshape(count, width).any(axis=1))


def match(reference: Patches, starts: np.ndarray, degraded: np.ndarray) -> np.ndarray:
    """Reference patches (P,W,F), beginning at frames starts (P,); degraded (T,F) -> frames (P,) where they are found.

    LOST for a patch that is left out of the path. With s_p(t) the similarity of patch p and the W frames of
    `degraded` from t on, the best sum of patches up to p, the last of them placed at t, is

        best_p(t)  =  max( s_p(t) + max over u < t of best_p-1(u),   best_p-1(t) )

    where the second means that p is lost.
    """
    P, W, _ = reference.values.shape
    T = len(degraded)
    everywhere = with_statistics(windows(degraded, W))
    best = np.zeros((P, T))
    origin = np.full((P, T), LOST)  # where the patch before p is; at the place of p itself, if p is lost
    for p in range(P):
        near = slice(max(0, starts[p] - SEARCH * W), min(T, starts[p] + SEARCH * W + 1))
        best[p, near] = compare(reference.at(p), everywhere.at(near)).mean(axis=(1, 2))
        if p > 0:
            before, place = _highest_before(best[p - 1], max(0, starts[p - 1] - SEARCH * W))
            best[p, near] += before[near]
            lost = best[p - 1, near] > best[p, near]
            best[p, near] = np.where(lost, best[p - 1, near], best[p, near])
            origin[p, near] = np.where(lost, np.arange(T)[near], place[near])
    found = np.full(P, LOST)
    place = near.start + best[-1, near].argmax()
    for p in reversed(range(P)):
        if origin[p, place] != place:
            found[p] = place
        place = origin[p, place]
    return found


def _highest_before(x: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """For each t of x (T,): the highest of x[first:t], and where, the last of equals; -inf and LOST if it is empty."""
    highest, place = np.full(len(x), -np.inf), np.full(len(x), LOST)
    so_far = np.maximum.accumulate(x[first:-1])
    highest[first + 1 :] = so_far
    place[first + 1 :] = np.maximum.accumulate(np.where(x[first:-1] == so_far, np.arange(first, len(x) - 1), 0))
    return highest, place


def windows(spectrogram: np.ndarray, width: int) -> np.ndarray:
    """Spectrogram (T,F) -> the patch (T,W,F) of W = width frames from each on; silence follows the last one."""
    padded = np.pad(spectrogram, ((0, width - 1), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=0).swapaxes(1, 2)
