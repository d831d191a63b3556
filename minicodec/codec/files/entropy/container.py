"""The .ecdc file of version 1: codes in chunks, entropy-coded so that every machine can decode them.

    struct '!4sBI'      b"ECDC", version 1, number of bytes of the JSON
    JSON                {"m": model name, "al": audio length in samples, "nc": codebooks, "lm": name of the predictor,
                         "cf": frames of a chunk, "n": number of chunks}
    for every chunk     '!I' its bytes, '!I' the CRC-32 of these bytes and then of its codes, as int16, little-endian,
                        frame by frame
    '!I'                the CRC-32 of all that stands above
    for every chunk     '!f' its scale (48 kHz model only), and what `range_coder` made of its codes

Where a model has chunks of its own (48 kHz), these are they; otherwise chunk i has the frames from i·cf on, `cf` of
them, the last one fewer. Each is coded without a look at those before it. So decoding can start at any of them, and
what is damaged in one is lost in that one alone. The checksum includes the codes because a decoder with another model
or other arithmetic would read other codes out of undamaged bytes: that, too, must not be played.

"lm" is "adaptive", or "lm-" and the first 16 digits of the hash of a language model's sizes and weights.
"""

import json
import struct
import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from minicodec.codec.files.bitstream import CODED_VERSION, JSON_LIMIT, MAGIC, PREFIX, Header, Layout, read_fields
from minicodec.errors import InputError

ENTRY = np.dtype([("size", ">u4"), ("checksum", ">u4")])
CRC = struct.Struct("!I")
FRAMES_LIMIT = 1 << 13  # in a chunk: what a decoder has to hold in memory at once
KINDS = {"m": str, "al": int, "nc": int, "lm": str, "cf": int, "n": int}


@dataclass(frozen=True, eq=False)  # no ==: an array compares entry by entry
class CodedHeader:
    """What the file says about itself: header.lm is True; the index has an ENTRY for every chunk."""

    header: Header
    predictor: str
    chunk_frames: int
    index: np.ndarray


def pack_header(coded: CodedHeader) -> bytes:
    """The first bytes of the file, up to where the chunks begin."""
    header = coded.header
    fields = {"m": header.model, "al": header.audio_length, "nc": header.codebooks}
    fields |= {"lm": coded.predictor, "cf": coded.chunk_frames, "n": len(coded.index)}
    text = json.dumps(fields).encode()
    data = PREFIX.pack(MAGIC, CODED_VERSION, len(text)) + text + coded.index.astype(ENTRY).tobytes()
    return data + CRC.pack(zlib.crc32(data))


def read_header(file: BinaryIO, name: str) -> tuple[CodedHeader, int]:
    """The header, and how many bytes it takes. InputError: it is damaged, or no such header."""
    file.seek(0)
    data = file.read(PREFIX.size + JSON_LIMIT)
    fields, start = read_fields(data, CODED_VERSION, KINDS, name)
    length = file.seek(0, 2)
    stop = start + fields["n"] * ENTRY.itemsize
    if not start < stop <= length - CRC.size:
        raise InputError(f"{name}: ends within its header, or its number of chunks is wrong")
    file.seek(0)
    data, checksum = file.read(stop), file.read(CRC.size)
    if CRC.pack(zlib.crc32(data)) != checksum:
        raise InputError(f"{name}: has a damaged header (its checksum is wrong)")
    try:
        header = Header(fields["m"], fields["al"], fields["nc"], lm=True)
        if not 1 <= fields["cf"] <= FRAMES_LIMIT:
            raise ValueError(f"{fields['cf']} frames in a chunk")
    except ValueError as error:
        raise InputError(f"{name}: has a damaged header ({error})") from error
    return CodedHeader(header, fields["lm"], fields["cf"], np.frombuffer(data, ENTRY, offset=start)), stop + CRC.size


def chunked(layout: Layout, chunk_frames: int) -> Layout:
    """The layout with chunks of `chunk_frames` frames, unless the model has chunks of its own."""
    if layout.chunk_samples is not None:
        return layout
    samples = chunk_frames * layout.hop
    return replace(layout, chunk_samples=samples, chunk_stride=samples)


def check(coded: CodedHeader, layout: Layout, name: str) -> Layout:
    """The layout of the file's chunks. InputError: no file of a model with this layout has such a header."""
    header, layout = coded.header, chunked(layout, coded.chunk_frames)
    assert layout.chunk_samples is not None
    assert layout.chunk_stride is not None
    if layout.frames(layout.chunk_samples) != coded.chunk_frames:
        raise InputError(f"{name}: has chunks of {coded.chunk_frames} frames, which the model does not make")
    chunks = -(-header.audio_length // layout.chunk_stride)
    if len(coded.index) != chunks:
        raise InputError(f"{name}: has {len(coded.index)} chunks; {header.audio_length} samples make {chunks}")
    return layout


def checksum(payload: bytes, codes: np.ndarray) -> int:
    """The CRC-32 of a chunk's bytes and its codes (Q,T)."""
    return zlib.crc32(np.ascontiguousarray(codes.T, "<i2").data, zlib.crc32(payload))
