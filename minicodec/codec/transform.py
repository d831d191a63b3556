"""A network that begins as a transform codec, and learns from there.

    encoder: waveform (B,T,1)                       decoder: latent (B,T/hop,D)
      MDCT: Conv1d K=2·hop, stride hop                Conv1d K=1, D → hop
      companding x^¾                                  ResidualUnits
      ResidualUnits, which begin as almost nothing    the inverse power, x^(4/3)
      Conv1d K=1, hop → D                             signs that look random, for high frequencies
      latent (B,T/hop,D)                              inverse MDCT: ConvTranspose1d K=2·hop, stride hop
                                                      waveform (B,T,1)

The modified discrete cosine transform [Princen87] of MP3, AAC and Opus is a strided convolution whose weights are
known. With N = hop, and for k = 0 ... N - 1,

    X_k = sqrt(2/N) Σ_n  sin(π (n + ½) / 2N)  cos(π/N (n + ½ + N/2) (k + ½))  x_n           n = 0 ... 2N - 1

Windows overlap by half. A window alone cannot be undone, for 2N samples become N numbers; what is missing of one is in
its neighbours: the inverse is the transpose, and where its windows overlap they add up to x. (The first hop has no
window before it, and stays incomplete.) The weights of both stay as they are. In the encoder each frequency is
multiplied by a gain, in the decoder divided by it [training/transform_start.py].

Nothing runs at 24 kHz but the transform: a step of training costs half of the SEANet's. A window reaches one hop into
the future, so that the latency is two hops.

High up, few bits say how loud a frequency is, and none which sign it has. A decoder then learns one pattern of signs
and repeats it in every frame. What repeats 75 times a second is a buzz: a comb of lines 75 Hz apart, where there
should be noise. Losses of spectra in bands do not hear it. So from frequency `noise_from` on, each coefficient is
multiplied by a sign that looks random, and depends on frame and frequency alone.
"""

from dataclasses import dataclass

import numpy as np

from minicodec import functional as F
from minicodec.backend import xp
from minicodec.codec.seanet import ResidualUnit, SEANetConfig, in_turn
from minicodec.nn.layers import Conv1d, ConvTranspose1d
from minicodec.nn.module import Module
from minicodec.tensor import Tensor


@dataclass(frozen=True)
class TransformConfig:
    """The options of both networks.

    hop                   samples per latent frame, and number of frequencies
    latent                width D of the latent vectors
    power, smoothing      of the companding [ops/companding.py]
    encoder, decoder      dilations of the residual units
    noise_from            the first frequency (of `hop`, from 0 Hz to half the sample rate) with random signs; 0: none
    """

    hop: int = 320
    latent: int = 64
    power: float = 0.75
    smoothing: float = 0.2
    encoder: tuple[int, ...] = (1, 2, 4, 1, 2)
    decoder: tuple[int, ...] = (1, 2, 4, 1, 2, 4, 1, 2)
    noise_from: int = 0

    @property
    def causal(self) -> bool:
        """Does it stream? It always does, two hops late."""
        return True


UNITS = SEANetConfig(norm="none", shortcut="identity")  # the options of the residual units


class Companding(Module):
    """The op as a layer: x (*x) -> y (*x)."""

    def __init__(self, power: float, smoothing: float):
        self.power, self.smoothing = power, smoothing

    def __call__(self, x: Tensor) -> Tensor:
        return F.companding(x, self.power, self.smoothing)


class NoiseSigns(Module):
    """Multiplies coefficients (B,T,N) by `noise_signs`."""

    def __init__(self, first: int):
        self.first = first

    def __call__(self, x: Tensor, start: int = 0) -> Tensor:
        """x (B,T,N), of frames `start` and later -> y (B,T,N)."""
        signs = noise_signs(start, x.shape[1], x.shape[2], self.first)
        return x * xp(x.data).asarray(signs.astype(x.dtype))


def noise_signs(start: int, frames: int, N: int, first: int) -> np.ndarray:
    """(frames,N) int8: 1 below frequency `first`, from there on the last bit of a hash of frame · N + frequency, as ±1.

    The hash is the last step of MurmurHash3, of 32 bits: whole numbers, so alike on all machines.
    """
    t = np.arange(start, start + frames, dtype=np.uint64)[:, None]
    signs = 1 - 2 * (hashed(t * np.uint64(N) + np.arange(N, dtype=np.uint64)) & np.uint32(1)).astype(np.int8)
    signs[:, :first] = 1
    return signs


def hashed(x: np.ndarray) -> np.ndarray:
    """Whole numbers (*x), modulo 2^32 -> as many that look random, uint32."""
    h = x.astype(np.uint32)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


class TransformEncoder(Module):
    """Waveform (B,T,1) -> latent (B,ceil(T/hop),D)."""

    def __init__(self, config: TransformConfig, *, rng: np.random.Generator):
        N = self.hop = config.hop
        mdct = Conv1d(1, N, 2 * N, stride=N, ahead=N, rng=rng)
        _fix(mdct, mdct_basis(N)[:, None])
        self.layers: list[Module] = [mdct, Companding(config.power, config.smoothing)]
        self.layers += [ResidualUnit(N, UNITS, dilation, rng=rng) for dilation in config.encoder]
        self.layers.append(Conv1d(N, config.latent, 1, rng=rng))

    def __call__(self, x: Tensor) -> Tensor:
        return in_turn(self.layers, x)


class TransformDecoder(Module):
    """Latent (B,T,D) -> waveform (B,T·hop,1)."""

    def __init__(self, config: TransformConfig, *, rng: np.random.Generator):
        N, slope_at_0 = config.hop, config.smoothing ** (config.power - 1)
        power = 1 / config.power
        inverse = ConvTranspose1d(N, 1, 2 * N, stride=N, rng=rng)
        _fix(inverse, mdct_basis(N)[:, :, None])
        self.layers: list[Module] = [Conv1d(config.latent, N, 1, rng=rng)]
        self.layers += [ResidualUnit(N, UNITS, dilation, rng=rng) for dilation in config.decoder]
        # Its slope at 0, smoothing^(power - 1), undoes that of the encoder.
        self.layers += [Companding(power, slope_at_0 ** (1 / (1 - power))), inverse]
        self.signs = [NoiseSigns(config.noise_from)] if config.noise_from else []

    @property
    def all_layers(self) -> list[Module]:
        """`layers`, by whose places files name the weights, with the signs before the last one."""
        return [*self.layers[:-1], *self.signs, self.layers[-1]]

    def __call__(self, x: Tensor, start: int = 0) -> Tensor:
        """Latents (B,T,D) of frames `start` and later -> their samples."""
        x = in_turn(self.layers[:-1], x)
        for signs in self.signs:
            x = signs(x, start)
        return self.layers[-1](x)


def _fix(layer: Conv1d | ConvTranspose1d, weight: np.ndarray) -> None:
    """Give a layer its weights, without bias, for good."""
    layer.weight.data[...], layer.bias.data[...] = weight, 0
    layer.weight.requires_grad = layer.bias.requires_grad = False


def mdct_basis(N: int) -> np.ndarray:
    """What each sample of a window contributes to each frequency: (2N,N) float32, with columns of length 1."""
    n, k = np.arange(2 * N)[:, None] + 0.5, np.arange(N) + 0.5
    basis = np.sqrt(2 / N) * np.sin(np.pi * n / (2 * N)) * np.cos(np.pi / N * (n + N / 2) * k)
    return basis.astype(np.float32)
