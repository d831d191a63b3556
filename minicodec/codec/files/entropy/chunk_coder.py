"""Chunks: some seconds of codes <-> bytes. Each stands alone, so it can be decoded without those before it.

The encoder asks for the frequencies of many frames at once, the decoder for one frame of several chunks at once: it
has to know a frame before it can predict the next. To ops/exact.py that is all the same.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.files.entropy.range_coder import DAMAGED, Decoder, encode as range_encode
from minicodec.codec.language_model import START

BLOCK = 64  # frames whose frequencies are computed at once: 4 MiB of them, for 8 codebooks of 1024 entries


def encode(codes: np.ndarray, predictor: Predictor | Adaptive) -> bytes:
    """Codes (Q,T) -> bytes."""
    past: Any = predictor.start(B=1)
    previous = np.concatenate([np.full((len(codes), 1), START), codes[:, :-1].astype(np.int64) + 1], axis=1)
    intervals = []
    for t in range(0, codes.shape[1], BLOCK):
        counts = predictor(previous[None, :, t : t + BLOCK], past)[0]
        symbols = codes.T[t : t + BLOCK, :, None].astype(np.int64)
        starts, stops = (np.take_along_axis(counts, symbols + i, axis=-1) for i in (0, 1))
        intervals.append(np.concatenate([starts, stops, counts[..., -1:]], axis=-1).reshape(-1, 3))
    starts, stops, totals = np.concatenate(intervals).T
    return range_encode(starts, stops, totals)


def decode(chunks: Sequence[bytes], frames: Sequence[int], predictor: Predictor | Adaptive) -> list[np.ndarray | None]:
    """The bytes of chunks, and how many frames each has -> codes (Q,T) int16 of each; None: of no encoder."""
    past: Any = predictor.start(B=len(chunks))
    decoders = [Decoder(chunk) for chunk in chunks]
    codes = np.zeros((len(chunks), predictor.codebooks, max(frames)), np.int16)
    last = np.full((len(chunks), predictor.codebooks, 1), START)
    for t in range(max(frames)):
        counts = predictor(last, past)[:, 0]
        for b, decoder in enumerate(decoders):
            if t < frames[b]:
                codes[b, :, t] = decoder.pull(counts[b])
        last = codes[:, :, t : t + 1].astype(np.int64) + 1
    return [None if DAMAGED in c[:, n - 1] else c[:, :n] for c, n in zip(codes, frames, strict=True)]
