"""Long .ecdc files in constant memory: codes come and go in pieces.

A piece is a bitstream.Chunk. Where a signal is coded in chunks that overlap (48 kHz), every piece is one chunk; where
the whole signal is one chunk, its frames may be spread over several pieces. No bit of the file depends on where they
were cut.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from minicodec.codec.files.bitstream import SCALE, Chunk, Header, Layout, pack_bits, read_scale, unpack_bits
from minicodec.errors import InputError

BLOCK_FRAMES = 640  # coded at a time: enough work for several threads, some seconds; 8 frames fill whole bytes


def pack_chunks(pieces: Iterable[Chunk], layout: Layout) -> Iterator[bytes]:
    """What follows the header of an .ecdc file, piece by piece.

    Codes wait until, with those before, they fill bytes.
    """
    waiting = np.zeros(0, np.int16)
    for piece in pieces:
        if piece.scale is not None:
            yield SCALE.pack(piece.scale)
        codes = np.concatenate([waiting, piece.codes.T.ravel()])
        ready = len(codes) if layout.chunk_samples else len(codes) // 8 * 8
        yield pack_bits(codes[:ready], layout.bits)
        waiting = codes[ready:]
    yield pack_bits(waiting, layout.bits)


def unpack_chunks(file: BinaryIO, header: Header, layout: Layout, name: str) -> Iterator[Chunk]:
    """The inverse of `pack_chunks`: what `file` holds from where it stands, in pieces of at most a second.

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
