"""Codec: the whole model, from waveforms to codes and back, and from files to weights.

    wav (C,T)  --encode-->  chunks of codes  --bitstream.pack-->  bytes
    bytes  --bitstream.unpack-->  chunks of codes  --decode-->  wav (C,T)

Waveforms here are (C,T) float32 in [-1,1], as soundfile's users have them; inside, audio is (B,T,C).
"""

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from os import PathLike
from typing import Any, overload

import numpy as np

from minicodec.backend import xp
from minicodec.codec import config as configuration, weights
from minicodec.codec.batch import each, stacked, unstacked
from minicodec.codec.config import CodecConfig
from minicodec.codec.files import bitstream
from minicodec.codec.files.bitstream import Chunk, Chunks, Header, first_sample
from minicodec.codec.files.entropy.adaptive import Adaptive
from minicodec.codec.files.entropy.coded_file import CodedReader, CodedWriter, predictor_for, predictor_of, refuse
from minicodec.codec.files.entropy.container import read_header as read_coded_header
from minicodec.codec.language_model import LanguageModel
from minicodec.codec.overlap import cut, overlap_add
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.codec.seanet import Decoder, Encoder
from minicodec.codec.streaming.stream import StreamDecoder, StreamEncoder, check_audio
from minicodec.codec.transform import TransformDecoder, TransformEncoder
from minicodec.codec.weight_cache import cached
from minicodec.device import host
from minicodec.errors import InputError
from minicodec.nn.module import Module
from minicodec.tensor import Tensor, no_grad

# The names that files of the released package carry, and how the SHA-256 of the one file of weights that each means
# begins: encodec_24khz-d7cc33bc.th, encodec_48khz-7e698e3e.th.
PUBLISHED = {"encodec_24khz": "d7cc33bc", "encodec_48khz": "7e698e3e"}
TRAINING_ONLY = {"quantizer.sums", "quantizer.waiting"}
METADATA_KEY = "minicodec"  # in a safetensors file; its only one, since several would come in any order
PUBLISHED_MARK = "published "  # before the digest of the published weights there


class Codec(Module):
    """Encoder, quantizer and decoder of one configuration; weights are drawn by `rng`, by default that of the seed.

    Attributes: sample_rate (Hz), channels, frame_rate (frames per second), bandwidths (kbps); published, the digest of
    the published weights, once it is known that this codec was given them.
    """

    def __init__(self, config: CodecConfig, *, seed: int = 0, rng: np.random.Generator | None = None):
        rng = rng or np.random.default_rng(seed)
        self.config, self.published = config, ""
        self.encoder: Encoder | TransformEncoder
        self.decoder: Decoder | TransformDecoder
        Q, N, D, beam = config.quantizer.levels, config.quantizer.entries, config.network.latent, config.quantizer.beam
        if config.transform:
            self.encoder = TransformEncoder(config.transform, rng=rng)
            self.quantizer = ResidualVectorQuantizer(Q, N, D, beam=beam, rng=rng)
            self.decoder = TransformDecoder(config.transform, rng=rng)
        else:
            assert config.seanet
            self.encoder = Encoder(config.channels, config.seanet, rng=rng)
            self.quantizer = ResidualVectorQuantizer(Q, N, D, beam=beam, rng=rng)
            self.decoder = Decoder(config.channels, config.seanet, rng=rng)

    def __repr__(self) -> str:
        sound = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        rates = ", ".join(f"{kbps:g}" for kbps in self.bandwidths)
        weights = sum(p.data.size for p in self.parameters()) / 1e6
        device = "cpu" if xp(self.quantizer.codebooks) is np else "gpu"
        return (
            f"Codec({self.config.name}: {self.sample_rate} Hz {sound}, {self.frame_rate:g} frames per second, "
            f"{rates} kbps, {weights:.3g} million weights, on {device})"
        )

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.config.sample_rate

    @property
    def channels(self) -> int:
        """1 mono, 2 stereo."""
        return self.config.channels

    @property
    def frame_rate(self) -> float:
        """Latent frames per second."""
        return self.config.frame_rate

    @property
    def bandwidths(self) -> tuple[float, ...]:
        """The rates on offer, kbps."""
        return self.config.bandwidths

    @property
    def digest(self) -> str:
        """The SHA-256 of weights and configuration: codecs with the same one make the same of the same codes."""
        return self._digests()[0]

    @property
    def name(self) -> str:
        """What files name as their model: that of the configuration with the first digits of the digest.

        Two trainings of one preset are two models, and files of one are noise to the other. Only the published weights
        have the published name alone.
        """
        return self.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """`name`, and all other names by which files mean this codec: older versions gave them.

        Their digits were of the weights alone; and every codec of a published architecture had the published name.
        """
        digest, of_weights = self._digests()
        own, former = (f"{self.config.name}-{digits[:8]}" for digits in (digest, of_weights))
        if self.config.name not in PUBLISHED:
            return own, former
        return (self.config.name, own) if self.published == digest else (own, self.config.name)

    def _digests(self) -> tuple[str, str]:
        """Of weights and configuration, and of weights alone; these are read once while they stay as they are."""
        arrays = self._saved_arrays()

        def of_arrays(_: Codec) -> Any:
            digest = hashlib.sha256()
            for key, array in arrays.items():
                digest.update(key.encode())
                digest.update(array.data)
            return digest

        of_weights = cached(self, of_arrays, list(arrays.values()))
        whole = of_weights.copy()
        whole.update(self.config.identity.encode())
        return whole.hexdigest(), of_weights.hexdigest()

    # Waveforms and codes

    @overload
    def encode(self, wav: np.ndarray, kbps: float | None = None) -> Chunks: ...

    @overload
    def encode(self, wav: Sequence[np.ndarray], kbps: float | None = None) -> list[Chunks]: ...

    def encode(self, wav: Any, kbps: float | None = None) -> Any:
        """Waveform (C,T) -> chunks of codes (Q,frames), at one of `bandwidths` (the highest by default).

        `encode(wav).codes` is the codes as one array. A batch (B,C,T) gives codes (B,Q,frames), a list of waveforms of
        any lengths a list of what each gives; every item has the codes, to the bit, that it has alone.

        Raises ValueError for another rate, another number of channels, no samples, integers, or samples that are no
        audio: not finite, or above LOUDEST (stream.py).
        """
        if isinstance(wav, list | tuple):
            return each(lambda one: self.encode(one, kbps), wav)
        if getattr(wav, "ndim", 0) == 3 and len(wav):
            return stacked(each(lambda one: self.encode(one, kbps), wav))
        self._check_wav(wav)
        chunks = Chunks(self.encode_blocks([wav], kbps))
        return Chunks([_joined(chunks)]) if self.config.chunk_stride is None else chunks

    @overload
    def decode(self, codes: np.ndarray | Sequence[Chunk], length: int | None = None) -> np.ndarray: ...

    @overload
    def decode(
        self, codes: Sequence[np.ndarray] | Sequence[Sequence[Chunk]], length: int | None = None
    ) -> list[np.ndarray]: ...

    def decode(self, codes: Any, length: int | None = None) -> Any:
        """What `encode` gave -> waveform (C,length), by default (C, as many samples as the frames cover).

        codes: chunks, or an array (Q,frames) if the model does not cut audio into chunks. A batch (B,Q,frames) gives
        a batch (B,C,length), and a list, of what stands for one waveform each, a list of waveforms.

        ValueError: no chunks, or codes that the model does not have.
        """
        if isinstance(codes, np.ndarray):
            if self.config.chunk_stride is not None or self.config.normalize:
                raise ValueError(f"{self.config.name} codes chunks, each with a scale: give what encode returned")
            codes = [Chunk(codes)]
        if not isinstance(codes, list | tuple) or len(codes) == 0:
            raise ValueError("codes (Q,frames) are needed, or a list of chunks with at least one in it")
        if not all(isinstance(chunk, Chunk) for chunk in codes):
            return each(lambda one: self.decode(one, length), codes)
        if codes[0].codes.ndim == 3:
            return np.stack(each(lambda one: self.decode(one, length), unstacked(codes)))
        return np.concatenate(list(self.decode_blocks(codes)), axis=1)[:, :length]

    # The same for signals of any length, in constant memory where the model streams

    def encode_blocks(self, blocks: Iterable[np.ndarray], kbps: float | None = None) -> Iterator[Chunk]:
        """Blocks (C,n) of a waveform -> its codes, in pieces. ValueError as `encode`, when the iteration reaches it."""
        config = self.config
        if self.streams:
            encoder = self.stream_encoder(kbps)
            yield from (Chunk(encoder.push(block)) for block in blocks)
            yield Chunk(encoder.flush())
        else:
            levels = self._levels(kbps)
            whole = sys.maxsize  # a network that looks into the future needs all of a signal, or of a chunk
            for wav in cut(blocks, config.chunk_samples or whole, config.chunk_stride or whole):
                yield self._encode_chunk(wav, levels)

    def decode_blocks(self, chunks: Iterable[Chunk], start: int = 0) -> Iterator[np.ndarray]:
        """Codes, in chunks or pieces of one -> blocks (C,n) of the waveform, as many samples as the frames cover.

        start: the number of the first frame, where a part of a signal is decoded.
        """
        if self.streams:
            decoder = StreamDecoder(self.decoder, self.quantizer, start=start)
            for chunk in chunks:
                yield decoder.push(chunk.codes)
            yield decoder.flush()
        elif self.config.chunk_stride is None:
            yield self._decode_chunk(_joined(list(chunks)), start)
        else:
            yield from overlap_add(map(self._decode_chunk, chunks), self.config.chunk_stride)

    # The same for live audio (codec/streaming/stream.py)

    @property
    def streams(self) -> bool:
        """Does the model code audio as it comes in? Not if it looks ahead, or divides a whole chunk by its level.

        Nor on a GPU: it is fast with much at a time, and a frame of a stream is little.
        """
        causal = self.config.network.causal and self.config.chunk_stride is None and not self.config.normalize
        return causal and xp(self.quantizer.codebooks) is np

    def stream_encoder(self, kbps: float | None = None, pad_mode: str | None = None) -> StreamEncoder:
        """An encoder for live audio: any cut of a signal into pushes gives the codes that `encode` gives.

        pad_mode: "zero" replaces a model's padding by reflection, which must wait for the first 80 ms. ValueError:
        a rate that is not on offer, a model that cannot stream.
        """
        self._check_streams()
        return StreamEncoder(self.encoder, self.quantizer, self.channels, self._levels(kbps), pad_mode)

    def stream_decoder(self, pad_mode: str | None = None) -> StreamDecoder:
        """A decoder for live codes; pad_mode and ValueError as in `stream_encoder`."""
        self._check_streams()
        return StreamDecoder(self.decoder, self.quantizer, pad_mode)

    def _levels(self, kbps: float | None) -> int:
        kbps = max(self.bandwidths) if kbps is None else kbps
        if kbps not in self.bandwidths:
            on_offer = ", ".join(f"{b:g}" for b in self.bandwidths)
            raise ValueError(f"{kbps:g} kbps is not on offer: choose from {on_offer}")
        return self.config.levels(kbps)

    def _check_wav(self, wav: np.ndarray) -> None:
        check_audio(wav, self.channels)
        if wav.shape[1] == 0:
            raise ValueError("the waveform has no samples")

    def _check_streams(self) -> None:
        if not self.streams:
            raise ValueError(f"{self.config.name} codes whole chunks, it cannot stream, nor can any model on a GPU")

    def _encode_chunk(self, wav: np.ndarray, levels: int) -> Chunk:
        self._check_wav(wav)
        scale = None
        if self.config.normalize:
            scale = float(np.sqrt((wav.mean(axis=0, dtype=np.float32) ** 2).mean()) + np.float32(1e-8))
            wav = wav / np.float32(scale)
        x = xp(self.quantizer.codebooks).asarray(np.ascontiguousarray(wav.T[None], np.float32))
        with no_grad():
            z = self.encoder(Tensor(x)).data
        return Chunk(host(self.quantizer.encode(z[0], levels)).astype(np.int16), scale)

    def _decode_chunk(self, chunk: Chunk, start: int = 0) -> np.ndarray:
        self.quantizer.check(chunk.codes)
        with no_grad():
            z = self.quantizer.decode(xp(self.quantizer.codebooks).asarray(chunk.codes.astype(np.int64)))
            wav = host(self.decoder(Tensor(z[None]), start).data)[0].T
        return wav if chunk.scale is None else wav * np.float32(chunk.scale)

    # Bytes

    def compress(self, wav: np.ndarray, kbps: float | None = None, lm: LanguageModel | str | None = None) -> bytes:
        """Waveform (C,T) -> the bytes of an .ecdc file. ValueError as `encode`.

        lm: a language model of this codec's codes, or "adaptive", makes it smaller, and takes time (files/entropy).
        Where "adaptive" would make it larger, as it can where there is little to count, the file is one without it.
        """
        chunks = self.encode(wav, kbps)
        header = Header(model=self.name, audio_length=wav.shape[1], codebooks=len(chunks[0].codes))
        plain = bitstream.pack(header, chunks, self.config.layout)
        if lm is None:
            return plain
        predictor = predictor_for(lm, self.names, self.config.layout, header.codebooks)
        writer = CodedWriter(predictor, self.config.layout)
        payload = b"".join(writer.pack(chunks))
        coded = writer.header(header.model, header.audio_length) + payload
        return plain if lm == Adaptive.name and len(plain) < len(coded) else coded

    def decompress(
        self,
        packet: bytes,
        source: str = "packet",
        lm: LanguageModel | None = None,
        start: float = 0.0,
        damaged: Callable[[str], None] = refuse,
    ) -> np.ndarray:
        """The bytes of an .ecdc file -> waveform (C,T). InputError, beginning with `source`, if they cannot be one.

        lm        the language model, for files that were made with one
        start     seconds to leave out at the beginning: entropy-coded files are decoded from there on
        damaged   called with one line for each damaged chunk of an entropy-coded file, which then is silence
        """
        layout = self.config.layout
        if bitstream.read_version(packet, source) == bitstream.CODED_VERSION:
            file = io.BytesIO(packet)
            coded, size = read_coded_header(file, source)
            self._check_made_here(coded.header, source)
            reader = CodedReader(file, coded, size, layout, predictor_of(coded, lm, self.names, layout, source), source)
            first = first_sample(start, coded.header, self.sample_rate, source)
            return np.concatenate(list(reader.blocks(self.decode_blocks, self.channels, first, damaged)), axis=1)
        header, _ = bitstream.read_header(packet, source)
        self._check_made_here(header, source)
        _, chunks = bitstream.unpack(packet, layout, source)
        first = first_sample(start, header, self.sample_rate, source)
        return self.decode(chunks, header.audio_length)[:, first:]

    def _check_made_here(self, header: Header, source: str) -> None:
        if header.model not in self.names:
            raise InputError(f"{source}: was made by the model {header.model}, this one is {self.name}")

    # Files

    def _saved_arrays(self) -> dict[str, np.ndarray]:
        """The state without what only a running training needs (the codewords' sums follow from their counts)."""
        state = self.state_dict()
        return {key: np.ascontiguousarray(host(state[key])) for key in sorted(state.keys() - TRAINING_ONLY)}

    def save(self, path: str | PathLike[str], *, half: bool = False, overwrite: bool = False) -> None:
        """Write weights, codebooks and configuration to one .safetensors file.

        half: in float16, at half the size. What is loaded then is another model, by a little, and has another name.
        ValueError: a weight is larger than float16 can be (65504).
        """
        saved, arrays = self, self._saved_arrays()
        if half:
            arrays = weights.halved(arrays)
            saved = deepcopy(self)
            saved.load_state_dict(self.state_dict() | arrays)
        digest = saved.digest
        mark = PUBLISHED_MARK if self.published == digest else ""
        about = {"config": self.config.to_dict(), "digest": mark + digest}
        weights.write(path, arrays, {METADATA_KEY: json.dumps(about)}, overwrite)


def _joined(pieces: list[Chunk]) -> Chunk:
    return Chunk(np.concatenate([piece.codes for piece in pieces], axis=1), pieces[0].scale)


def build(preset: str, seed: int = 0) -> Codec:
    """An untrained codec: one of encodec_24khz, encodec_48khz, mini_24khz, tiny_24khz, transform_24khz, or my.toml."""
    return Codec(configuration.preset(preset), seed=seed)
