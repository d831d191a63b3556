"""SEANet: the convolutional encoder and decoder around the quantizer [Defossez22, §3.1; Tagliasacchi20].

    encoder: waveform (B,T,C)           decoder: latent (B,T/hop,D)
      Conv1d K=7                          Conv1d K=7
      for each stride s:                  LSTM, with a skip over it
        ResidualUnit                      for each stride s, the encoder's reversed:
        ELU, Conv1d K=2s stride s           ELU, ConvTranspose1d K=2s stride s
          (half as long, twice as wide)       (s times as long, half as wide)
      LSTM, with a skip over it             ResidualUnit
      ELU, Conv1d K=7                     ELU, Conv1d K=7
      latent (B,T/hop,D)                  waveform (B,T,C)

`layers` numbers the parts as the published checkpoints do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from minicodec import functional as F
from minicodec.nn.layers import LSTM, NORMS, PAD_MODES, Conv1d, ConvTranspose1d
from minicodec.nn.module import Module
from minicodec.tensor import Tensor


@dataclass(frozen=True)
class SEANetConfig:
    """The options of both networks.

    filters            channels after the first conv; each stride doubles them
    latent             width D of the latent vectors
    strides            of the encoder, from the waveform inwards; their product is the hop
    kernel             taps of the first and the last conv
    residual_kernel    taps of the first conv of a residual unit
    residual_units     units before each stride
    lstm_layers        0 for none
    norm               weight_norm, time_group_norm or none
    causal             outputs see no later input
    pad_mode           zero, or reflect as in the published models (which lets frame 0 see the first 80 ms)
    shortcut           of a residual unit: conv (1x1, as published) or identity
    """

    filters: int = 32
    latent: int = 128
    strides: tuple[int, ...] = (2, 4, 5, 8)
    kernel: int = 7
    residual_kernel: int = 3
    residual_units: int = 1
    lstm_layers: int = 2
    norm: str = "weight_norm"
    causal: bool = True
    pad_mode: str = "zero"
    shortcut: str = "conv"

    def __post_init__(self) -> None:
        for name, choices in (("norm", NORMS), ("pad_mode", PAD_MODES), ("shortcut", ("conv", "identity"))):
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"{name} {value!r}: choose one of {', '.join(choices)}")
        if self.norm == "time_group_norm" and self.causal:
            raise ValueError("a norm over all of time looks into the future: time_group_norm cannot be causal")

    @property
    def hop(self) -> int:
        """Samples per latent frame."""
        return prod(self.strides)


class ELU(Module):
    """The activation as a layer, so that a list of layers can hold it."""

    def __call__(self, x: Tensor) -> Tensor:
        return F.elu(x)


def in_turn(layers: Sequence[Module], x: Tensor) -> Tensor:
    """x through one layer after the other. An ELU is left to the convolution behind it, which has to read x anyway."""
    elu = False
    for layer in layers:
        if isinstance(layer, ELU):
            elu = True
        else:
            x = layer(x, elu=True) if elu else layer(x)
            elu = False
    return x


class ResidualUnit(Module):
    """x (B,T,C) -> shortcut(x) + [ELU, conv K=3 C→C/2, ELU, conv K=1 C/2→C](x), (B,T,C)."""

    def __init__(self, C: int, config: SEANetConfig, dilation: int, *, rng: np.random.Generator):
        self.block: list[Module] = [
            ELU(),
            _conv(C, C // 2, config.residual_kernel, config, dilation=dilation, rng=rng),
            ELU(),
            _conv(C // 2, C, 1, config, rng=rng),
        ]
        self.shortcut = _conv(C, C, 1, config, rng=rng) if config.shortcut == "conv" else None

    def __call__(self, x: Tensor) -> Tensor:
        _, first, _, second = self.block
        assert isinstance(first, Conv1d)
        assert isinstance(second, Conv1d)
        if self.shortcut is None or first.norm is not None:
            y = in_turn(self.block, x)
            return y + (x if self.shortcut is None else self.shortcut(x))
        convolutions = [(layer.effective_weight(), layer.bias) for layer in (first, second, self.shortcut)]
        left, right = first.padding(x.shape[1])
        return F.residual_unit(x, convolutions, left, right, first.pad_mode, first.dilation)


class Encoder(Module):
    """Waveform (B,T,C) -> latent (B,ceil(T/hop),D)."""

    def __init__(self, channels: int, config: SEANetConfig, *, rng: np.random.Generator):
        C, self.hop = config.filters, config.hop
        self.layers: list[Module] = [_conv(channels, C, config.kernel, config, rng=rng)]
        for stride in config.strides:
            for i in range(config.residual_units):
                self.layers.append(ResidualUnit(C, config, 2**i, rng=rng))
            self.layers += [ELU(), _conv(C, 2 * C, 2 * stride, config, stride=stride, rng=rng)]
            C *= 2
        if config.lstm_layers:
            self.layers.append(LSTM(C, config.lstm_layers, rng=rng))
        self.layers += [ELU(), _conv(C, config.latent, config.kernel, config, rng=rng)]

    def __call__(self, x: Tensor) -> Tensor:
        return in_turn(self.layers, x)


class Decoder(Module):
    """Latent (B,T,D) -> waveform (B,T·hop,C)."""

    def __init__(self, channels: int, config: SEANetConfig, *, rng: np.random.Generator):
        C = config.filters * 2 ** len(config.strides)
        self.layers: list[Module] = [_conv(config.latent, C, config.kernel, config, rng=rng)]
        if config.lstm_layers:
            self.layers.append(LSTM(C, config.lstm_layers, rng=rng))
        for stride in reversed(config.strides):
            up = ConvTranspose1d(
                C, C // 2, 2 * stride, stride=stride, norm=config.norm, causal=config.causal, rng=rng
            )
            self.layers += [ELU(), up]
            C //= 2
            for i in range(config.residual_units):
                self.layers.append(ResidualUnit(C, config, 2**i, rng=rng))
        self.layers += [ELU(), _conv(C, channels, config.kernel, config, rng=rng)]

    def __call__(self, x: Tensor, start: int = 0) -> Tensor:
        """Latents of frames `start` and later, which is all the same to this network, not to a TransformDecoder."""
        return in_turn(self.layers, x)


def _conv(
    Ci: int, Co: int, K: int, config: SEANetConfig, *, stride: int = 1, dilation: int = 1, rng: np.random.Generator
) -> Conv1d:
    """A Conv1d with the options that all of a network share."""
    return Conv1d(
        Ci, Co, K,
        stride=stride, dilation=dilation, norm=config.norm, causal=config.causal, pad_mode=config.pad_mode, rng=rng,
    )  # fmt: skip
