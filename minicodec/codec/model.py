"""Codec: the whole model, from waveforms to codes and back, and from files to weights.

    wav (C,T)  --encode-->  chunks of codes  --bitstream.pack-->  bytes
    bytes  --bitstream.unpack-->  chunks of codes  --decode-->  wav (C,T)

Waveforms here are (C,T) float32 in [-1,1], as soundfile's users have them; inside, audio is (B,T,C).
"""

import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from minicodec.codec import bitstream, config as configuration
from minicodec.codec.bitstream import Chunk, Header
from minicodec.codec.config import CodecConfig
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.codec.seanet import Decoder, Encoder
from minicodec.errors import InputError
from minicodec.files import write_atomically
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
        kbps = max(self.bandwidths) if kbps is None else kbps
        if kbps not in self.bandwidths:
            on_offer = ", ".join(f"{b:g}" for b in self.bandwidths)
            raise ValueError(f"{kbps:g} kbps is not on offer: choose from {on_offer}")
        if wav.ndim != 2 or wav.shape[0] != self.channels:
            raise ValueError(f"a waveform ({self.channels},T) is needed, this one is {wav.shape}")
        if wav.shape[1] == 0:
            raise ValueError("the waveform has no samples")
        if not np.isfinite(wav).all():
            raise ValueError("the waveform has samples that are not finite numbers")
        levels = self.config.levels(kbps)
        lengths = self.config.layout.chunk_lengths(wav.shape[1])
        stride = self.config.chunk_stride or 0
        return [self._encode_chunk(wav[:, i * stride : i * stride + n], levels) for i, n in enumerate(lengths)]

    def _encode_chunk(self, wav: np.ndarray, levels: int) -> Chunk:
        scale = None
        if self.config.normalize:
            scale = float(np.sqrt((wav.mean(axis=0, dtype=np.float32) ** 2).mean()) + np.float32(1e-8))
            wav = wav / np.float32(scale)
        x = np.ascontiguousarray(wav.T[None], np.float32)
        with no_grad():
            z = self.encoder(Tensor(x)).data
        return Chunk(self.quantizer.encode(z[0], levels).astype(np.int16), scale)

    def decode(self, chunks: list[Chunk], length: int | None = None) -> np.ndarray:
        """Chunks of codes -> waveform (C,length), by default (C, as many samples as the frames cover)."""
        wavs = [self._decode_chunk(chunk) for chunk in chunks]
        wav = wavs[0] if self.config.chunk_stride is None else overlap_add(wavs, self.config.chunk_stride)
        return wav[:, :length]

    def _decode_chunk(self, chunk: Chunk) -> np.ndarray:
        with no_grad():
            z = self.quantizer.decode(chunk.codes.astype(np.int64))
            wav = self.decoder(Tensor(z[None])).data[0].T
        return wav if chunk.scale is None else wav * np.float32(chunk.scale)

    # Bytes

    def compress(self, wav: np.ndarray, kbps: float | None = None) -> bytes:
        """Waveform (C,T) -> the bytes of an .ecdc file. ValueError as `encode`."""
        chunks = self.encode(wav, kbps)
        header = Header(model=self.name, audio_length=wav.shape[1], codebooks=len(chunks[0].codes))
        return bitstream.pack(header, chunks, self.config.layout)

    def decompress(self, packet: bytes, source: str = "packet") -> np.ndarray:
        """The bytes of an .ecdc file -> waveform (C,T). InputError, beginning with `source`, if they cannot be one."""
        header, chunks = bitstream.unpack(packet, self.config.layout, source)
        if header.model != self.name:
            raise InputError(f"{source}: was made by the model {header.model}, this one is {self.name}")
        return self.decode(chunks, header.audio_length)

    # Files

    def _saved_arrays(self) -> dict[str, np.ndarray]:
        """The state without what only a running training needs (the codewords' sums follow from their counts)."""
        state = self.state_dict()
        return {key: np.ascontiguousarray(state[key]) for key in state.keys() - TRAINING_ONLY}

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write weights, codebooks and configuration to one .safetensors file."""
        with write_atomically(path, overwrite=overwrite) as temporary:
            save_file(self._saved_arrays(), temporary, {METADATA_KEY: json.dumps(self.config.to_dict())})


def overlap_add(wavs: list[np.ndarray], stride: int) -> np.ndarray:
    """Chunks (C,n), `stride` samples apart -> (C,T): where they overlap, a mean with triangular weights.

    The weights rise from the ends of a chunk to its middle, so one chunk fades into the next; the division by their
    sum makes them a partition of unity.
    """
    n = wavs[0].shape[1]
    t = np.linspace(0, 1, n + 2, dtype=np.float32)[1:-1]
    weight = 0.5 - np.abs(t - 0.5)
    T = stride * (len(wavs) - 1) + wavs[-1].shape[1]
    total, weights = np.zeros((wavs[0].shape[0], T), np.float32), np.zeros(T, np.float32)
    for i, wav in enumerate(wavs):
        start, m = i * stride, wav.shape[1]
        total[:, start : start + m] += weight[:m] * wav
        weights[start : start + m] += weight[:m]
    return total / weights


def build(preset: str, seed: int = 0) -> Codec:
    """An untrained codec: one of encodec_24khz, encodec_48khz, mini_24khz, tiny_24khz."""
    return Codec(configuration.preset(preset), seed=seed)


def load_safetensors(path: str | PathLike[str]) -> Codec:
    """The codec that `save` wrote. InputError, naming the file, if it is no such file."""
    path = Path(path)
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            arrays: dict[str, Any] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from None
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
