"""The .ecdc file, entropy-coded: the codes of a chunk as one range-coded number, by the probabilities of a model.

    for every chunk:
        '!f'            its scale (48 kHz model only)
        bits            of the codes, frame by frame, codebook by codebook; zeros up to a whole byte

This is what the released package writes with `--lm`. A WARNING goes with such files: the reader needs the very numbers
that the writer had, and they come from a Transformer in float32. Another library, another machine, even another number
of threads adds in another order and gets other last digits. A probability that errs by 1e-9, as much as that makes, is
rounded to another count once in sixty times, there are a thousand of them for every code, and one count that differs
turns all that follows into noise. So a file decodes where the program that wrote it is imitated to the last bit; here
that holds for files that were written here. For the package's own files it is luck, and nobody can promise it. Keep no
archive in this format.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from minicodec.codec.files import bitstream
from minicodec.codec.files.bitstream import SCALE, Chunk, Header, Layout
from minicodec.codec.files.entropy.encodec_coder import CodingError, RangeDecoder, RangeEncoder, cumulative_counts
from minicodec.codec.language_model import START, LanguageModel
from minicodec.errors import InputError


def pack(header: Header, chunks: Sequence[Chunk], lm: LanguageModel) -> bytes:
    """The bytes of the file."""
    parts = [bitstream.pack_header(header)]
    for chunk in chunks:
        if chunk.scale is not None:
            parts.append(SCALE.pack(chunk.scale))
        encoder, predictor = RangeEncoder(), Predictor(lm, header.codebooks)
        for frame in chunk.codes.T:
            for code, counts in zip(frame.tolist(), predictor.counts(), strict=True):
                encoder.push(code, counts)
            predictor.push(frame)
        parts.append(encoder.finish())
    return b"".join(parts)


def unpack(data: bytes, layout: Layout, lm: LanguageModel, name: str) -> tuple[Header, list[Chunk]]:
    """The inverse of `pack`. InputError: a wrong header, bits that end too soon or too late or that nobody wrote.

    Memory grows with the codes that were read, not with what the header claims.
    """
    header, position = bitstream.read_header(data, name)
    if header.codebooks > layout.codebooks:
        raise InputError(f"{name}: has {header.codebooks} codebooks; the model has {layout.codebooks}")
    chunks = []
    for length in layout.chunk_lengths(header.audio_length):
        scale = bitstream.read_scale(data, position, name) if layout.scales else None
        decoder = RangeDecoder(data, position + layout.scales * SCALE.size)
        try:
            frames = list(_frames(decoder, layout.frames(length), Predictor(lm, header.codebooks)))
        except CodingError as error:
            raise InputError(f"{name}: {error}") from None
        chunks.append(Chunk(np.stack(frames, axis=1), scale))
        position = decoder.position
    if position != len(data):
        raise InputError(f"{name}: goes on after its end, by {len(data) - position} bytes, or was made otherwise")
    return header, chunks


def _frames(decoder: RangeDecoder, count: int, predictor: "Predictor") -> Iterator[np.ndarray]:
    for _ in range(count):
        frame = np.array([decoder.pull(counts) for counts in predictor.counts()], np.int16)
        predictor.push(frame)
        yield frame


class Predictor:
    """A language model, a frame at a time."""

    def __init__(self, lm: LanguageModel, codebooks: int):
        self.lm = lm
        self.past = lm.start(B=1)
        self.last = np.full((1, codebooks, 1), START)

    def counts(self) -> np.ndarray:
        """Cumulative counts (Q,N) of the next frame's codes."""
        p, self.past = self.lm.probabilities(self.last, self.past)
        return cumulative_counts(p[0, 0])

    def push(self, frame: np.ndarray) -> None:
        """The codes (Q,) that came."""
        self.last = 1 + frame[None, :, None].astype(np.int64)
