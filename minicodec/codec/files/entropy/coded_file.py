"""Whole entropy-coded files: codes <-> bytes, and on to audio, in constant memory, on all threads.

Threads take whole chunks, so they have nothing to do with the numbers that come out.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain, groupby, islice
from typing import BinaryIO

import numpy as np

from minicodec.codec.files.bitstream import SCALE, Chunk, Header, Layout, read_scale
from minicodec.codec.files.entropy import chunk_coder
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.container import ENTRY, FRAMES_LIMIT, CodedHeader, check, checksum, pack_header
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.language_model import LanguageModel
from minicodec.errors import InputError
from minicodec.threads import available

SECONDS = 5.0  # of a chunk of a language model
ADAPTIVE_SECONDS = 60.0  # counting starts afresh in each chunk, and takes longer to know something
LONGEST = 4  # bytes of a code, at most
AT_ONCE = 16  # chunks decoded together: weights are read once for all of them


Decode = Callable[[Iterable[Chunk], int], Iterator[np.ndarray]]  # Codec.decode_blocks


def predictor_for(
    lm: LanguageModel | str, names: Collection[str], layout: Layout, codebooks: int
) -> Predictor | Adaptive:
    """A language model, or "adaptive" -> what predicts the first `codebooks` codebooks of a codec.

    names: of the codec (`Codec.names`). InputError: the language model does not fit, or is that of another codec.
    """
    if isinstance(lm, str):
        if lm != Adaptive.name:
            raise ValueError(f"lm {lm!r}: a LanguageModel is needed, or {Adaptive.name!r}")
        return Adaptive(codebooks, 1 << layout.bits)
    check_fits(lm, names, layout, "the language model")
    return Predictor(lm, codebooks)


def check_fits(lm: LanguageModel, names: Collection[str], layout: Layout, name: str) -> None:
    """InputError, beginning with `name`: the language model is that of other codes."""
    own = next(iter(names))
    if lm.codec and lm.codec not in names:
        raise InputError(f"{name}: was trained on codes of {lm.codec}, not of {own}")
    if (layout.codebooks, 1 << layout.bits) != (lm.config.Q, lm.config.N):
        raise InputError(f"{name}: knows {lm.config.Q} codebooks of {lm.config.N} entries; {own} has others")


def predictor_of(
    coded: CodedHeader, lm: LanguageModel | None, names: Collection[str], layout: Layout, name: str
) -> Predictor | Adaptive:
    """The predictor that the file `name` was made with, if `lm` is that. InputError: it is another, or missing."""
    codebooks = coded.header.codebooks
    if codebooks > layout.codebooks:
        raise InputError(f"{name}: has {codebooks} codebooks; the model has {layout.codebooks}")
    if coded.predictor == Adaptive.name:
        return predictor_for(Adaptive.name, names, layout, codebooks)
    if lm is None:
        raise InputError(f"{name}: needs the language model {coded.predictor}, which it was entropy-coded with")
    predictor = predictor_for(lm, names, layout, codebooks)
    if predictor.name != coded.predictor:
        raise InputError(f"{name}: was entropy-coded with the language model {coded.predictor}, not {predictor.name}")
    return predictor


class CodedWriter:
    """Codes -> the bytes of chunks, and then the header that stands before them."""

    def __init__(self, predictor: Predictor | Adaptive, layout: Layout):
        rate = layout.sample_rate / layout.hop
        seconds = ADAPTIVE_SECONDS if isinstance(predictor, Adaptive) else SECONDS
        self.layout, self.own_chunks = layout, layout.chunk_samples is not None
        own = layout.frames(layout.chunk_samples) if layout.chunk_samples else None
        self.chunk_frames = own or min(max(1, round(seconds * rate)), FRAMES_LIMIT)
        if self.chunk_frames > FRAMES_LIMIT:
            raise InputError(f"the model has chunks of {own} frames; entropy-coded files have at most {FRAMES_LIMIT}")
        self.predictor = predictor
        self.entries: list[tuple[int, int]] = []

    def pack(self, pieces: Iterable[Chunk]) -> Iterator[bytes]:
        """Codes, cut anywhere -> the bytes of the file's chunks, one after the other."""
        whole = iter(pieces if self.own_chunks else regrouped(pieces, self.chunk_frames))
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
        return pack_header(self._coded_header(model, audio_length))

    def reread(self, file: BinaryIO, model: str, audio_length: int) -> Iterator[Chunk]:
        """The codes again, from a file that holds the bytes of the chunks and nothing else."""
        coded = self._coded_header(model, audio_length)
        reader = CodedReader(file, coded, 0, self.layout, self.predictor, "what was just written")
        return (chunk for chunk, _ in reader.chunks(0) if chunk)

    def _coded_header(self, model: str, audio_length: int) -> CodedHeader:
        header = Header(model, audio_length, self.predictor.codebooks, lm=True)
        return CodedHeader(header, self.predictor.name, self.chunk_frames, np.array(self.entries, ENTRY))

    def _payload(self, chunk: Chunk) -> bytes:
        scale = b"" if chunk.scale is None else SCALE.pack(chunk.scale)
        return scale + chunk_coder.encode(chunk.codes, self.predictor)


def regrouped(pieces: Iterable[Chunk], frames: int) -> Iterator[Chunk]:
    """The same codes in chunks of so many frames; the last one has what is left."""
    rest: np.ndarray | None = None
    for piece in pieces:
        rest = piece.codes if rest is None else np.concatenate([rest, piece.codes], axis=1)
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

    layout: of the codec. InputError, beginning with `name`: the header does not fit it.
    """

    def __init__(
        self,
        file: BinaryIO,
        coded: CodedHeader,
        start: int,
        layout: Layout,
        predictor: Predictor | Adaptive,
        name: str,
    ):
        self.chunks_fade = layout.chunk_stride is not None
        self.layout = check(coded, layout, name)
        self.file, self.coded, self.predictor, self.name = file, coded, predictor, name
        self.bounds = start + np.concatenate([[0], np.cumsum(coded.index["size"], dtype=np.int64)])

    def blocks(
        self, decode: Decode, channels: int, start: int = 0, damaged: Callable[[str], None] = refuse
    ) -> Iterator[np.ndarray]:
        """The waveform from sample `start` to its end, in blocks (C,n), C = channels.

        decode    makes sound of codes, and of the number of their first frame (`Codec.decode_blocks`): from a chunk
                  earlier on, for it to have a past
        damaged   is called with a line for every chunk that is, which then is silence
        """
        stride = self.layout.chunk_stride or 1
        first = max(0, start // stride - 1)
        before, left = start - first * stride, self.coded.header.audio_length - start
        for sound in self._sounds(decode, channels, first, damaged):
            block = sound[:, before:][:, :left]
            before -= min(before, sound.shape[1])
            left -= block.shape[1]
            yield block

    def _sounds(
        self, decode: Decode, channels: int, first: int, damaged: Callable[[str], None]
    ) -> Iterator[np.ndarray]:
        """The waveform of chunk `first` and those after it, as far as its frames go."""
        if self.chunks_fade:  # into each other, and silence with them
            silence = np.zeros((self.predictor.codebooks, self.coded.chunk_frames), np.int16)
            found = (chunk or Chunk(silence[:, :n], 0.0) for chunk, n in self.chunks(first, damaged))
            yield from decode(found, first * self.coded.chunk_frames)
            return
        numbered = enumerate(self.chunks(first, damaged), first)
        for lost, run in groupby(numbered, lambda item: item[1][0] is None):
            if lost:
                yield from (np.zeros((channels, n * self.layout.hop), np.float32) for _, (_, n) in run)
            else:
                i, (head, _) = next(run)
                whole = chain([head], (chunk for _, (chunk, _) in run))
                yield from decode((chunk for chunk in whole if chunk), i * self.coded.chunk_frames)

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
