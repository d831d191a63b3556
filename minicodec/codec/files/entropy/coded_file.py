"""Whole signals: codes in parts <-> entropy-coded chunks <-> audio, in constant memory, on all threads.

Threads take whole chunks, so they have nothing to do with the numbers that come out.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import groupby, islice
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from minicodec.codec.files.bitstream import SCALE, Chunk, Header, Layout, read_scale
from minicodec.codec.files.entropy import chunk_coder
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.container import ENTRY, CodedHeader, check, checksum, pack_header
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.language_model import LanguageModel
from minicodec.errors import InputError
from minicodec.threads import available

if TYPE_CHECKING:
    from minicodec.codec.model import Codec

SECONDS = 5.0  # of a chunk of a language model
ADAPTIVE_SECONDS = 60.0  # counting starts afresh in each chunk, and takes longer to know something
LONGEST = 4  # bytes of a code, at most
AT_ONCE = 16  # chunks decoded together: weights are read once for all of them


def predictor_for(lm: LanguageModel | str, codec: "Codec", codebooks: int) -> Predictor | Adaptive:
    """A language model, or "adaptive" -> what predicts the first `codebooks` codebooks of a codec.

    InputError: the language model does not fit, or was trained on the codes of another codec.
    """
    if isinstance(lm, str):
        if lm != Adaptive.name:
            raise ValueError(f"lm {lm!r}: a LanguageModel is needed, or {Adaptive.name!r}")
        return Adaptive(codebooks, codec.config.quantizer.entries)
    check_fits(lm, codec, "the language model")
    return Predictor(lm, codebooks)


def check_fits(lm: LanguageModel, codec: "Codec", name: str) -> None:
    """InputError, beginning with `name`: the language model is that of other codes."""
    quantizer = codec.config.quantizer
    if lm.codec and lm.codec != codec.name:
        raise InputError(f"{name}: was trained on codes of {lm.codec}, not of {codec.name}")
    if (quantizer.levels, quantizer.entries) != (lm.config.Q, lm.config.N):
        raise InputError(f"{name}: knows {lm.config.Q} codebooks of {lm.config.N} entries; {codec.name} has others")


def predictor_of(coded: CodedHeader, lm: LanguageModel | None, codec: "Codec", name: str) -> Predictor | Adaptive:
    """The predictor that the file `name` was made with, if `lm` is that. InputError: it is another, or missing."""
    if coded.header.codebooks > codec.config.quantizer.levels:
        raise InputError(
            f"{name}: has {coded.header.codebooks} codebooks; the model has {codec.config.quantizer.levels}"
        )
    if coded.predictor == Adaptive.name:
        return predictor_for(Adaptive.name, codec, coded.header.codebooks)
    if lm is None:
        raise InputError(f"{name}: needs the language model {coded.predictor}, which it was entropy-coded with")
    predictor = predictor_for(lm, codec, coded.header.codebooks)
    if predictor.name != coded.predictor:
        raise InputError(f"{name}: was entropy-coded with the language model {coded.predictor}, not {predictor.name}")
    return predictor


class CodedWriter:
    """Parts of codes -> the bytes of chunks, and then the header that stands before them."""

    def __init__(self, predictor: Predictor | Adaptive, layout: Layout):
        rate = layout.sample_rate / layout.hop
        seconds = ADAPTIVE_SECONDS if isinstance(predictor, Adaptive) else SECONDS
        self.own_chunks = layout.chunk_samples is not None
        self.chunk_frames = layout.frames(layout.chunk_samples) if layout.chunk_samples else round(seconds * rate)
        self.predictor = predictor
        self.entries: list[tuple[int, int]] = []

    def pack(self, parts: Iterable[Chunk]) -> Iterator[bytes]:
        """The bytes of the chunks, one after the other."""
        whole = iter(parts if self.own_chunks else regrouped(parts, self.chunk_frames))
        threads = available()
        with ThreadPoolExecutor(threads) as pool:
            while group := list(islice(whole, threads)):
                jobs = [pool.submit(copy_context().run, self._payload, chunk) for chunk in group]
                for chunk, job in zip(group, jobs, strict=True):
                    data = job.result()
                    self.entries.append((len(data), checksum(data, chunk.codes)))
                    yield data

    def header(self, model: str, audio_length: int) -> bytes:
        """What comes before them, in the end."""
        header = Header(model, audio_length, self.predictor.codebooks, lm=True)
        index = np.array(self.entries, ENTRY)
        return pack_header(CodedHeader(header, self.predictor.name, self.chunk_frames, index))

    def _payload(self, chunk: Chunk) -> bytes:
        scale = b"" if chunk.scale is None else SCALE.pack(chunk.scale)
        return scale + chunk_coder.encode(chunk.codes, self.predictor)


def regrouped(parts: Iterable[Chunk], frames: int) -> Iterator[Chunk]:
    """The codes of all parts in parts of so many frames; the last one has what is left."""
    rest: np.ndarray | None = None
    for part in parts:
        rest = part.codes if rest is None else np.concatenate([rest, part.codes], axis=1)
        while rest.shape[1] >= frames:
            yield Chunk(rest[:, :frames])
            rest = rest[:, frames:]
    if rest is not None and rest.shape[1]:
        yield Chunk(rest)


def refuse(line: str) -> None:
    """What a reader does about damage, unless told otherwise: InputError."""
    raise InputError(line)


class CodedReader:
    """A file of version 1: its header was read, and takes `start` bytes; the predictor is `predictor_of` it.

    InputError, beginning with `name`: the header does not fit the codec.
    """

    def __init__(
        self,
        file: BinaryIO,
        coded: CodedHeader,
        start: int,
        codec: "Codec",
        predictor: Predictor | Adaptive,
        name: str,
    ):
        self.layout = check(coded, codec.config.layout, name)
        self.file, self.coded, self.codec, self.predictor, self.name = file, coded, codec, predictor, name
        self.bounds = start + np.concatenate([[0], np.cumsum(coded.index["size"], dtype=np.int64)])

    def blocks(self, start: int = 0, damaged: Callable[[str], None] = refuse) -> Iterator[np.ndarray]:
        """The waveform from sample `start` to its end, in blocks (C,n).

        The decoder begins a chunk earlier, for it to have a past. `damaged` is called with a line for every chunk that
        is, which then is silence. InputError: the file has no such sample.
        """
        length, stride = self.coded.header.audio_length, self.layout.chunk_stride or 1
        if not 0 <= start < length:
            seconds, end = start / self.layout.sample_rate, length / self.layout.sample_rate
            raise InputError(f"{self.name}: cannot start at {seconds:g} s; it has {end:g} s")
        first = max(0, start // stride - 1)
        before, left = start - first * stride, length - start
        for sound in self._sounds(first, damaged):
            block = sound[:, before:][:, :left]
            before -= min(before, sound.shape[1])
            left -= block.shape[1]
            yield block

    def _sounds(self, first: int, damaged: Callable[[str], None]) -> Iterator[np.ndarray]:
        """The waveform of chunk `first` and those behind it, as far as its frames go."""
        if self.codec.config.chunk_stride is not None:  # chunks fade into each other, and silence with them
            silence = np.zeros((self.predictor.codebooks, self.coded.chunk_frames), np.int16)
            found = self.chunks(first, damaged)
            yield from self.codec.decode_blocks(chunk or Chunk(silence[:, :n], 0.0) for chunk, n in found)
            return
        for lost, run in groupby(self.chunks(first, damaged), lambda pair: pair[0] is None):
            if lost:
                yield from (np.zeros((self.codec.channels, n * self.layout.hop), np.float32) for _, n in run)
            else:
                yield from self.codec.decode_blocks(chunk for chunk, _ in run if chunk)

    def chunks(self, first: int, damaged: Callable[[str], None] = refuse) -> Iterator[tuple[Chunk | None, int]]:
        """(chunk, its number of frames) of chunk `first` and those behind it; None for one that is damaged."""
        size = self.file.seek(0, 2)
        if size != self.bounds[-1]:
            problem = "is cut off" if size < self.bounds[-1] else "goes on after its end"
            damaged(f"{self.name}: {problem}: it has {size} bytes, there should be {self.bounds[-1]}")
        lengths = self.layout.chunk_lengths(self.coded.header.audio_length, skip=first)
        waiting = enumerate(map(self.layout.frames, lengths), first)
        threads = available()
        with ThreadPoolExecutor(threads) as pool:
            while group := list(islice(waiting, AT_ONCE)):
                packed = [(i, frames, self._read(i, frames)) for i, frames in group]
                found: list[Chunk | None] = [None] * len(group)
                shares = [packed[i::threads] for i in range(min(threads, len(group)))]
                jobs = [pool.submit(copy_context().run, self._decode, share) for share in shares]
                for i, job in enumerate(jobs):
                    found[i::threads] = job.result()
                for chunk, (i, frames) in zip(found, group, strict=True):
                    if chunk is None:
                        damaged(f"{self.name}: is damaged from {self._seconds(i)} to {self._seconds(i + 1)} s")
                    yield chunk, frames

    def _read(self, i: int, frames: int) -> bytes:
        """The bytes of a chunk; none where it has more than so many frames can take."""
        size = int(self.bounds[i + 1] - self.bounds[i])
        if size > SCALE.size + LONGEST * frames * self.predictor.codebooks + 1:
            return b""
        self.file.seek(int(self.bounds[i]))
        return self.file.read(size)

    def _decode(self, packed: list[tuple[int, int, bytes]]) -> list[Chunk | None]:
        """Chunks (number, frames, bytes) -> what they hold, if their checksums are right."""
        scale_size = self.layout.scales * SCALE.size
        lengths, coded = [n for _, n, _ in packed], [data[scale_size:] for _, _, data in packed]
        codes = chunk_coder.decode(coded, lengths, self.predictor)
        found: list[Chunk | None] = []
        for (i, _, data), c in zip(packed, codes, strict=True):
            if c is None or checksum(data, c) != self.coded.index["checksum"][i]:
                found.append(None)
            else:
                found.append(Chunk(c, read_scale(data, 0, self.name) if self.layout.scales else None))
        return found

    def _seconds(self, i: int) -> str:
        """When chunk i begins."""
        start = min(i * (self.layout.chunk_stride or 1), self.coded.header.audio_length)
        return f"{start / self.layout.sample_rate:.2f}"
