"""Long signals in constant memory: audio comes and goes in blocks, codes in parts.

A block (C,n) is any stretch of a waveform. A part is a bitstream.Chunk; where a signal is coded in chunks that
overlap (48 kHz), every chunk is one part, and where the whole signal is one chunk, its frames may be spread over
several. No bit of the result depends on where blocks and parts were cut.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from minicodec.codec.bitstream import SCALE, Chunk, Header, Layout, pack_bits, read_scale, unpack_bits
from minicodec.errors import InputError

BLOCK_FRAMES = 640  # coded at a time: enough work for several threads, some seconds; 8 frames fill whole bytes


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


def pack_parts(parts: Iterable[Chunk], layout: Layout) -> Iterator[bytes]:
    """What follows the header of an .ecdc file, part by part. Codes wait until, with those before, they fill bytes."""
    waiting = np.zeros(0, np.int16)
    for part in parts:
        if part.scale is not None:
            yield SCALE.pack(part.scale)
        codes = np.concatenate([waiting, part.codes.T.ravel()])
        ready = len(codes) if layout.chunk_samples else len(codes) // 8 * 8
        yield pack_bits(codes[:ready], layout.bits)
        waiting = codes[ready:]
    yield pack_bits(waiting, layout.bits)


def unpack_parts(file: BinaryIO, header: Header, layout: Layout, name: str) -> Iterator[Chunk]:
    """The inverse of `pack_parts`: what `file` holds from where it stands, in parts of at most a second.

    The size must have been checked (bitstream.check_size). InputError: a scale that is none, or the file has shrunk.
    """
    if layout.chunk_samples is None and not layout.scales:
        samples = BLOCK_FRAMES * layout.hop
        layout = replace(layout, chunk_samples=samples, chunk_stride=samples)
    for length in layout.chunk_lengths(header.audio_length):
        size = layout.chunk_bytes(length, header.codebooks)
        data = file.read(size)
        if len(data) < size:
            raise InputError(f"{name}: is cut off")
        scale = read_scale(data, 0, name) if layout.scales else None
        shape = (layout.frames(length), header.codebooks)
        packed = np.frombuffer(data, np.uint8)[layout.scales * SCALE.size :]
        yield Chunk(unpack_bits(packed, layout.bits, math.prod(shape)).reshape(shape).T, scale)
