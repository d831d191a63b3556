"""Several waveforms at once, for `Codec.encode` and `Codec.decode`: each is coded as it would be alone."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minicodec.codec.files.bitstream import Chunk, Chunks


def each(code: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """What becomes of each item. ValueError says of which it speaks."""
    results = []
    for i, item in enumerate(items):
        try:
            results.append(code(item))
        except ValueError as error:
            raise ValueError(f"item {i}: {error}") from None
    return results


def stacked(items: Sequence[Chunks]) -> Chunks:
    """The chunks of waveforms of one length, as chunks of codes (B,Q,frames)."""
    return Chunks(_batch(chunks) for chunks in zip(*items, strict=True))


def _batch(chunks: Sequence[Chunk]) -> Chunk:
    scales = None if chunks[0].scale is None else np.array([chunk.scale for chunk in chunks])
    return Chunk(np.stack([chunk.codes for chunk in chunks]), scales)


def unstacked(chunks: Sequence[Chunk]) -> list[list[Chunk]]:
    """The inverse of `stacked`."""
    B = len(chunks[0].codes)
    return [[Chunk(c.codes[i], None if c.scale is None else float(c.scale[i])) for c in chunks] for i in range(B)]
