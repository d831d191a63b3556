"""The overlap of a 48 kHz model's chunks: a waveform is cut into them, and they fade into each other again.

Audio comes and goes in blocks (C,n), any stretches of a waveform, so memory stays small however long the signal is. No
bit of the result depends on where blocks were cut. The published model has chunks of 1 s, a new one every 0.99 s
[Defossez22, §3.2].
"""

from collections.abc import Iterable, Iterator

import numpy as np


def cut(blocks: Iterable[np.ndarray], length: int, stride: int) -> Iterator[np.ndarray]:
    """Blocks of one waveform -> its chunks of `length` samples, `stride` apart; those at the end are shorter."""
    rest: np.ndarray | None = None
    for block in blocks:
        rest = block if rest is None else np.concatenate([rest, block], axis=1)
        while rest.shape[1] >= length:
            yield rest[:, :length]
            rest = rest[:, stride:]
    while rest is not None and rest.shape[1]:
        yield rest[:, :length]
        rest = rest[:, stride:]


def overlap_add(wavs: Iterable[np.ndarray], stride: int) -> Iterator[np.ndarray]:
    """Chunks (C,n), `stride` samples apart -> blocks: where chunks overlap, a mean with triangular weights.

    The weights rise from the ends of a chunk to its middle, so one chunk fades into the next; the division by their
    sum makes them a partition of unity. The shape of the triangle is that of the first chunk, the longest.
    """
    weight = total = weights = np.zeros(0, np.float32)
    for wav in wavs:
        n = wav.shape[1]
        if not len(weight):
            t = np.linspace(0, 1, n + 2, dtype=np.float32)[1:-1]
            weight = 0.5 - np.abs(t - 0.5)
            total = np.zeros((len(wav), 0), np.float32)
        else:
            yield total[:, :stride] / weights[:stride]
            total, weights = total[:, stride:], weights[stride:]
        more = max(0, n - len(weights))  # a last chunk can end before the one before it
        total, weights = np.pad(total, [(0, 0), (0, more)]), np.pad(weights, (0, more))
        total[:, :n] += weight[:n] * wav
        weights[:n] += weight[:n]
    yield total / weights
