"""The .ecdc file: audio lengths and codes as bytes, the way the released EnCodec package writes them.

    struct '!4sBI'      b"ECDC", version 0, number of bytes of the JSON
    JSON                {"m": model name, "al": audio length in samples, "nc": codebooks, "lm": entropy-coded?}
    for every chunk:
        '!f'            its scale (48 kHz model only)
        codes           frame by frame, codebook by codebook, 10 bits each, least significant bit first,
                        filled with zeros to a whole byte at the end of the chunk

The file does not say how many frames or chunks there are: that follows from the audio length and from the model,
whose side of the agreement is a `Layout`. The 24 kHz model has one chunk for the whole file; the 48 kHz model has one
for each second, overlapping by 10 ms [Defossez22, §3.2]. There is no checksum: a changed code is another, legal, sound.

What is read here may come from anywhere. So every number is checked before anything of its size is allocated, and
what does not fit raises InputError with one line that begins with `name`, the file it is about.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicodec.errors import InputError

MAGIC = b"ECDC"
VERSION = 0
CODED_VERSION = 1  # entropy-coded by us: entropy/container.py
# The package's own entropy coding rounds float probabilities of a Transformer to counts. Another machine, library or
# number of threads adds in another order; one count that differs, and all that follows is noise [chapter 15].
FLOAT_CODED = "is entropy-coded by the released encodec package: it alone can decode it, on the machine that did"
PREFIX = struct.Struct("!4sBI")  # magic, version, bytes of JSON
SCALE = struct.Struct("!f")
JSON_LIMIT = 1 << 16  # bytes; real headers have about 60
SCALE_LIMIT = 1e6  # a scale is the RMS of audio, about 1 at most; float files may exceed that, but not by 120 dB
BLOCK = 1 << 16  # codes (un)packed at a time; a multiple of 8, so that every block but the last fills whole bytes


@dataclass(frozen=True)
class Header:
    """What the file says about itself. ValueError if it makes no sense whatever the model.

    model           its name, under which the decoder looks for it
    audio_length    samples, at the model's rate
    codebooks       how many codes there are for each frame
    lm              entropy-coded?
    """

    model: str
    audio_length: int
    codebooks: int
    lm: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.model) <= 255 or not self.model.isprintable():
            raise ValueError("the model's name cannot be one")
        if not 1 <= self.audio_length < 1 << 63:
            raise ValueError(f"a length of {_short(self.audio_length)} samples")
        if not 1 <= self.codebooks < 1 << 15:
            raise ValueError(f"{_short(self.codebooks)} codebooks")


@dataclass(frozen=True, eq=False)  # no ==: arrays compare entry by entry
class Chunk:
    """The codes of one stretch of audio: codes (Q,T) int16, and the scale it was divided by (None: it was not).

    Or of a batch: codes (B,Q,T), scale (B,).
    """

    codes: np.ndarray
    scale: Any = None

    def __repr__(self) -> str:
        *B, Q, T = self.codes.shape
        items = f"{B[0]} x " if B else ""
        scale = "" if self.scale is None or B else f", scale {self.scale:.3g}"
        return f"Chunk({items}{Q} codebooks x {T} frames{scale})"


class Chunks(list[Chunk]):
    """All chunks of a waveform, in order: one, or several that overlap, if the model cuts audio into chunks."""

    @property
    def codes(self) -> np.ndarray:
        """The codes as one array (Q,frames), of a batch (B,Q,frames), chunk after chunk."""
        return np.concatenate([chunk.codes for chunk in self], axis=-1)


@dataclass(frozen=True)
class Layout:
    """What a model decides about its files.

    sample_rate     Hz
    hop             samples per frame (the frame rate is sample_rate / hop)
    codebooks       how many the model has; a file may use fewer
    bits            per code: the codebooks have 2**bits entries; at most 15
    scales          does every chunk carry a scale?
    chunk_samples   length of a chunk in samples; None: the whole file is one chunk
    chunk_stride    from the start of a chunk to the start of the next, in samples; None likewise
    """

    sample_rate: int
    hop: int
    codebooks: int
    bits: int = 10
    scales: bool = False
    chunk_samples: int | None = None
    chunk_stride: int | None = None

    def frames(self, samples: int) -> int:
        """ceil(samples / hop): the frames of a chunk. In integers: with floats, the quotient can end just above one."""
        return -(-samples // self.hop)

    def chunk_lengths(self, audio_length: int, skip: int = 0) -> Iterator[int]:
        """The length in samples of every chunk from number `skip` on; one or two at the end can be shorter."""
        chunk, stride = self.chunk_samples or audio_length, self.chunk_stride or audio_length
        return (min(chunk, audio_length - start) for start in range(skip * stride, audio_length, stride))

    def chunk_bytes(self, samples: int, codebooks: int) -> int:
        """The bytes of a chunk of so many samples: its scale, and its codes."""
        return self.scales * SCALE.size + -(-self.frames(samples) * codebooks * self.bits // 8)

    def payload_bytes(self, audio_length: int, codebooks: int) -> int:
        """The bytes of all chunks together."""
        return self._sum(audio_length, lambda samples: self.chunk_bytes(samples, codebooks))

    def all_frames(self, audio_length: int) -> int:
        """The frames of all chunks together."""
        return self._sum(audio_length, self.frames)

    def _sum(self, audio_length: int, of_chunk: Callable[[int], int]) -> int:
        """Over all chunks, without visiting those of full length: a header can claim 10^15 samples."""
        chunk, stride = self.chunk_samples or audio_length, self.chunk_stride or audio_length
        whole = max(0, (audio_length - chunk) // stride + 1)
        return whole * of_chunk(chunk) + sum(map(of_chunk, self.chunk_lengths(audio_length, skip=whole)))


def pack(header: Header, chunks: Sequence[Chunk], layout: Layout) -> bytes:
    """The bytes of the file. ValueError: the chunks are not those that header and layout announce."""
    parts = [pack_header(header)]
    lengths = list(layout.chunk_lengths(header.audio_length))
    if len(chunks) != len(lengths):
        raise ValueError(f"{len(chunks)} chunks for {header.audio_length} samples, which make {len(lengths)}")
    for chunk, length in zip(chunks, lengths, strict=True):
        expected = (header.codebooks, layout.frames(length))
        if chunk.codes.shape != expected:
            raise ValueError(f"codes of shape {chunk.codes.shape} in a chunk that should have {expected}")
        if (chunk.scale is not None) != layout.scales:
            raise ValueError(f"a chunk with scale {chunk.scale}, but the layout says scales={layout.scales}")
        if chunk.scale is not None:
            _check_scale(chunk.scale, header.model)
            parts.append(SCALE.pack(chunk.scale))
        parts.append(pack_bits(chunk.codes.T.ravel(), layout.bits))
    return b"".join(parts)


def unpack(data: bytes, layout: Layout, name: str) -> tuple[Header, list[Chunk]]:
    """The inverse of `pack`; a memory-bounded read of `data`, which must be a whole file and nothing more.

    InputError: anything wrong with the header, more codebooks than the model has, too few bytes or too many, a scale
    that is none, an entropy-coded file.
    """
    header, start = read_header(data, name)
    check_size(header, len(data) - start, layout, name)
    chunks = []
    for length in layout.chunk_lengths(header.audio_length):
        scale = read_scale(data, start, name) if layout.scales else None
        stop = start + layout.chunk_bytes(length, header.codebooks)
        packed = np.frombuffer(data, np.uint8)[start + layout.scales * SCALE.size : stop]
        shape = (layout.frames(length), header.codebooks)
        codes = unpack_bits(packed, layout.bits, math.prod(shape)).reshape(shape)
        chunks.append(Chunk(np.ascontiguousarray(codes.T), scale))
        start = stop
    return header, chunks


def read_scale(data: bytes, start: int, name: str) -> float:
    """The scale of a chunk. InputError: it is cut off, or is none."""
    if len(data) < start + SCALE.size:
        raise InputError(f"{name}: is cut off within a scale")
    (scale,) = SCALE.unpack_from(data, start)
    _check_scale(scale, name)
    return scale


def first_sample(start: float, header: Header, sample_rate: int, name: str) -> int:
    """The sample at `start` seconds. InputError: the file has none there."""
    seconds = header.audio_length / sample_rate
    if not 0 <= start < seconds or (first := round(start * sample_rate)) >= header.audio_length:  # NaN neither
        raise InputError(f"{name}: cannot start at {start:g} s; it has {seconds:g} s")
    return first


def pack_header(header: Header) -> bytes:
    """The first bytes of the file, up to where the chunks begin."""
    fields = {"m": header.model, "al": header.audio_length, "nc": header.codebooks, "lm": header.lm}
    text = json.dumps(fields).encode()
    return PREFIX.pack(MAGIC, VERSION, len(text)) + text


def read_header(data: bytes, name: str) -> tuple[Header, int]:
    """The header, and how many bytes it takes. `data` is the file, or its first PREFIX.size + JSON_LIMIT bytes."""
    fields, stop = read_fields(data, VERSION, {"m": str, "al": int, "nc": int, "lm": bool}, name)
    try:
        return Header(fields["m"], fields["al"], fields["nc"], fields["lm"]), stop
    except ValueError as error:
        raise InputError(f"{name}: has a damaged header ({error})") from error


def read_version(data: bytes, name: str) -> int:
    """The version of the format that the file begins with. InputError: it is none."""
    if data[: len(MAGIC)] != MAGIC:
        raise InputError(f"{name}: is not an .ecdc file (it does not begin with {MAGIC.decode()})")
    if len(data) < PREFIX.size:
        raise InputError(f"{name}: ends within its header")
    _, version, _ = PREFIX.unpack_from(data)
    if version not in (VERSION, CODED_VERSION):
        raise InputError(f"{name}: has version {version} of the .ecdc format; only 0 and 1 are known")
    return int(version)


def read_fields(data: bytes, version: int, kinds: dict[str, type], name: str) -> tuple[dict[str, Any], int]:
    """The JSON at the beginning of `data`, with a value of its kind for each key of `kinds`; and where it ends.

    Further keys are ignored. InputError: another version, anything wrong with the JSON, whose every value could be
    anything.
    """
    found = read_version(data, name)
    if found != version:
        raise InputError(f"{name}: has version {found} of the .ecdc format, not {version}")
    _, _, size = PREFIX.unpack_from(data)
    if size > JSON_LIMIT:
        raise InputError(f"{name}: claims a header of {size} bytes; more than {JSON_LIMIT} cannot be right")
    stop = PREFIX.size + size
    if len(data) < stop:
        raise InputError(f"{name}: ends within its header")
    try:
        fields = json.loads(data[PREFIX.size : stop].decode(), object_pairs_hook=_without_duplicates)
        if not isinstance(fields, dict):
            raise ValueError("no JSON object")
        for key, kind in kinds.items():
            if key not in fields:
                raise ValueError(f"no {key!r}")
            if type(fields[key]) is not kind:  # not isinstance: True is an int
                raise ValueError(f"{key!r} is no {kind.__name__}")
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, a key twice; brackets ten thousand deep
        raise InputError(f"{name}: has a damaged header ({' '.join(str(error).split())})") from error
    return fields, stop


def check_size(header: Header, payload: int, layout: Layout, name: str) -> None:
    """InputError unless a file with this header and so many bytes behind it is whole, by this layout."""
    if header.lm:
        raise InputError(f"{name}: {FLOAT_CODED}")
    if header.codebooks > layout.codebooks:
        raise InputError(f"{name}: has {header.codebooks} codebooks; the model has {layout.codebooks}")
    needed = layout.payload_bytes(header.audio_length, header.codebooks)
    if payload != needed:
        problem = "is cut off" if payload < needed else "goes on after its end"
        raise InputError(f"{name}: {problem}: {payload} bytes follow the header, there should be {needed}")


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """Integers 0 … 2**bits−1, `bits` (at most 16) of each, least significant first, zeros up to a whole byte."""
    if values.size and not 0 <= values.min() <= values.max() < 1 << bits:
        raise ValueError(f"codes from {values.min()} to {values.max()} do not fit into {bits} bits")
    parts = []
    for start in range(0, len(values), BLOCK):
        as_bytes = values[start : start + BLOCK, None].astype("<u2").view(np.uint8)
        parts.append(np.packbits(np.unpackbits(as_bytes, axis=1, bitorder="little", count=bits), bitorder="little"))
    return b"".join(part.tobytes() for part in parts)


def unpack_bits(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first `count` integers (count,) int16 of what `pack_bits` wrote, with at most 15 bits each."""
    values = np.empty(count, np.int16)
    for start in range(0, count, BLOCK):
        block = values[start : start + BLOCK]
        as_bits = np.zeros((len(block), 16), np.uint8)
        first = start * bits // 8
        as_bits[:, :bits] = np.unpackbits(packed[first:], count=len(block) * bits, bitorder="little").reshape(-1, bits)
        block[:] = np.packbits(as_bits, bitorder="little").view("<u2")
    return values


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands there twice")
    return fields


def _short(number: int) -> str:
    """The digits of a number, or the first of them where there are thousands."""
    digits = str(number)
    return digits if len(digits) <= 20 else digits[:20] + "…"


def _check_scale(scale: float, name: str) -> None:
    if not 0 <= scale <= SCALE_LIMIT:  # NaN is refused too: it compares false
        raise InputError(f"{name}: a chunk is scaled by {scale}, which no audio is")
