"""Codec: the whole model, from waveforms to codes and back, and from files to weights.

    wav (C,T)  --encode-->  chunks of codes  --bitstream.pack-->  bytes
    bytes  --bitstream.unpack-->  chunks of codes  --decode-->  wav (C,T)

Waveforms here are (C,T) float32 in [-1,1], as soundfile's users have them; inside, audio is (B,T,C).
"""

import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path

import numpy as np

from minicodec.backend import xp
from minicodec.codec import config as configuration, weights
from minicodec.codec.config import CodecConfig
from minicodec.codec.files import bitstream
from minicodec.codec.files.bitstream import Chunk, Header
from minicodec.codec.files.entropy import encodec_files
from minicodec.codec.files.entropy.coded_file import CodedReader, CodedWriter, predictor_for, predictor_of, refuse
from minicodec.codec.files.entropy.container import read_header as read_coded_header
from minicodec.codec.language_model import LanguageModel
from minicodec.codec.overlap import cut, overlap_add
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.codec.seanet import Decoder, Encoder
from minicodec.codec.streaming.stream import StreamDecoder, StreamEncoder
from minicodec.device import host
from minicodec.errors import InputError
from minicodec.nn.module import Module
from minicodec.tensor import Tensor, no_grad

PUBLISHED = ("encodec_24khz", "encodec_48khz")  # names that other programs' files carry, and mean one set of weights
TRAINING_ONLY = {"quantizer.sums", "quantizer.waiting"}
METADATA_KEY = "minicodec"  # of the configuration in a safetensors file


class Codec(Module):
    """Encoder, quantizer and decoder of one configuration.

    Attributes: sample_rate (Hz), channels, frame_rate (frames per second), bandwidths (kbps).
    """

    def __init__(self, config: CodecConfig, *, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.config = config
        self.encoder = Encoder(config.channels, config.seanet, rng=rng)
        self.quantizer = ResidualVectorQuantizer(
            config.quantizer.levels, config.quantizer.entries, config.seanet.latent, rng=rng
        )
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
    def name(self) -> str:
        """What files name as their model: a published name, or the preset's with the first digits of a hash.

        The hash is of the weights: two trainings of one preset are two models, and files of one are noise to the other.
        """
        if self.config.name in PUBLISHED:
            return self.config.name
        digest = hashlib.sha256()
        for key, array in sorted(self._saved_arrays().items()):
            digest.update(key.encode())
            digest.update(array.data)
        return f"{self.config.name}-{digest.hexdigest()[:8]}"

    # Waveforms and codes

    def encode(self, wav: np.ndarray, kbps: float | None = None) -> list[Chunk]:
        """Waveform (C,T) -> chunks of codes (Q,frames), at one of `bandwidths` (the highest by default).

        Raises ValueError for another rate, another number of channels, no samples, or samples that are not finite.
        """
        self._check_wav(wav)
        parts = list(self.encode_blocks([wav], kbps))
        return [_joined(parts)] if self.config.chunk_stride is None else parts

    def decode(self, chunks: list[Chunk], length: int | None = None) -> np.ndarray:
        """Chunks of codes -> waveform (C,length), by default (C, as many samples as the frames cover)."""
        return np.concatenate(list(self.decode_blocks(chunks)), axis=1)[:, :length]

    # The same for signals of any length, in constant memory where the model streams (codec/files/chunks.py)

    def encode_blocks(self, blocks: Iterable[np.ndarray], kbps: float | None = None) -> Iterator[Chunk]:
        """Blocks (C,n) of a waveform -> its codes, in parts. ValueError as `encode`, when the iteration reaches it."""
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

    def decode_blocks(self, parts: Iterable[Chunk]) -> Iterator[np.ndarray]:
        """Parts of codes -> blocks (C,n) of the waveform, as many samples as the frames cover."""
        if self.streams:
            decoder = self.stream_decoder()
            for part in parts:
                yield decoder.push(part.codes)
            yield decoder.flush()
        elif self.config.chunk_stride is None:
            yield self._decode_chunk(_joined(list(parts)))
        else:
            yield from overlap_add(map(self._decode_chunk, parts), self.config.chunk_stride)

    # The same for live audio (codec/streaming/stream.py)

    @property
    def streams(self) -> bool:
        """Does the model code audio as it comes in? Not if it looks ahead, or divides a whole chunk by its level.

        Nor on a GPU: it is fast with much at a time, and a frame of a stream is little.
        """
        causal = self.config.seanet.causal and self.config.chunk_stride is None and not self.config.normalize
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
        if wav.ndim != 2 or wav.shape[0] != self.channels:
            raise ValueError(f"a waveform ({self.channels},T) is needed, this one is {wav.shape}")
        if wav.shape[1] == 0:
            raise ValueError("the waveform has no samples")
        if not np.isfinite(wav).all():
            raise ValueError("the waveform has samples that are not finite numbers")

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

    def _decode_chunk(self, chunk: Chunk) -> np.ndarray:
        with no_grad():
            z = self.quantizer.decode(xp(self.quantizer.codebooks).asarray(chunk.codes.astype(np.int64)))
            wav = host(self.decoder(Tensor(z[None])).data)[0].T
        return wav if chunk.scale is None else wav * np.float32(chunk.scale)

    # Bytes

    def compress(self, wav: np.ndarray, kbps: float | None = None, lm: LanguageModel | str | None = None) -> bytes:
        """Waveform (C,T) -> the bytes of an .ecdc file. ValueError as `encode`.

        lm: a language model of this codec's codes, or "adaptive", makes it smaller, and takes time (files/entropy).
        """
        chunks = self.encode(wav, kbps)
        if lm is not None:
            writer = CodedWriter(predictor_for(lm, self, len(chunks[0].codes)), self.config.layout)
            payload = b"".join(writer.pack(chunks))
            return writer.header(self.name, wav.shape[1]) + payload
        header = Header(model=self.name, audio_length=wav.shape[1], codebooks=len(chunks[0].codes))
        return bitstream.pack(header, chunks, self.config.layout)

    def decompress(
        self,
        packet: bytes,
        source: str = "packet",
        lm: LanguageModel | None = None,
        start: float = 0.0,
        damaged: Callable[[str], None] = refuse,
    ) -> np.ndarray:
        """The bytes of an .ecdc file -> waveform (C,T). InputError, beginning with `source`, if they cannot be one.

        lm        the language model, for files that were made with one. (If it was the released EnCodec that made it,
                  it may not be readable here all the same: see entropy/encodec_files.py.)
        start     seconds to leave out at the beginning: entropy-coded files are decoded from there on
        damaged   called with one line for each damaged chunk of an entropy-coded file, which then is silence
        """
        first = round(start * self.sample_rate)
        if bitstream.read_version(packet, source) == bitstream.CODED_VERSION:
            file = io.BytesIO(packet)
            coded, size = read_coded_header(file, source)
            self._check_made_here(coded.header, source)
            reader = CodedReader(file, coded, size, self, predictor_of(coded, lm, self, source), source)
            return np.concatenate(list(reader.blocks(first, damaged)), axis=1)
        header, _ = bitstream.read_header(packet, source)
        self._check_made_here(header, source)
        if header.lm and lm is not None:
            _, chunks = encodec_files.unpack(packet, self.config.layout, lm, source)
        else:
            _, chunks = bitstream.unpack(packet, self.config.layout, source)
        return self.decode(chunks, header.audio_length)[:, first:]

    def _check_made_here(self, header: Header, source: str) -> None:
        if header.model != self.name:
            raise InputError(f"{source}: was made by the model {header.model}, this one is {self.name}")

    # Files

    def _saved_arrays(self) -> dict[str, np.ndarray]:
        """The state without what only a running training needs (the codewords' sums follow from their counts)."""
        state = self.state_dict()
        return {key: np.ascontiguousarray(host(state[key])) for key in state.keys() - TRAINING_ONLY}

    def save(self, path: str | PathLike[str], *, half: bool = False, overwrite: bool = False) -> None:
        """Write weights, codebooks and configuration to one .safetensors file.

        half: in float16, at half the size. What is loaded then is another model, by a little, and has another name.
        ValueError: a weight is larger than float16 can be (65504).
        """
        arrays = self._saved_arrays()
        if half:
            floats = {key: a for key, a in arrays.items() if a.dtype == np.float32}
            largest = max(np.abs(a).max() for a in floats.values())
            if not largest <= np.finfo(np.float16).max:
                raise ValueError(f"weights up to {largest:g} do not fit into half precision")
            arrays |= {key: a.astype(np.float16) for key, a in floats.items()}
        weights.write(path, arrays, {METADATA_KEY: json.dumps(self.config.to_dict())}, overwrite)


def _joined(parts: list[Chunk]) -> Chunk:
    return Chunk(np.concatenate([part.codes for part in parts], axis=1), parts[0].scale)


def build(preset: str, seed: int = 0) -> Codec:
    """An untrained codec: one of encodec_24khz, encodec_48khz, mini_24khz, tiny_24khz."""
    return Codec(configuration.preset(preset), seed=seed)


def load_safetensors(path: str | PathLike[str]) -> Codec:
    """The codec that `save` wrote. InputError, naming the file, if it is no such file."""
    path = Path(path)
    arrays, metadata = weights.read(path)
    if METADATA_KEY not in metadata:
        raise InputError(f"{path}: is no minicodec model: the configuration is missing from its metadata")
    try:
        values = json.loads(metadata[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its configuration is damaged: {error}") from None
    codec = Codec(configuration.from_dict(values, str(path)))
    own = codec.state_dict()
    try:
        codec.load_state_dict(arrays | {key: own[key] for key in TRAINING_ONLY})
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    codec.quantizer.sums[...] = codec.quantizer.codebooks * codec.quantizer.counts[:, :, None]
    codec.eval()
    return codec
