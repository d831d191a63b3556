"""The multi-scale STFT discriminator: does this spectrogram come from a recording or from a decoder? [Defossez22, §3.4]

At each of several scales, a small convolutional network looks at the complex spectrogram, real and imaginary parts as
two channels, and says for every patch of time and frequency how real it looks. Long windows resolve pitch, short ones
resolve attacks. Besides its verdict (the logits), each network shows what it saw on the way (the feature maps): the
decoder is trained to match them.

    spectrogram (B,T,F,2)
    Conv2d 3x9                                          feature map 1
    Conv2d 3x9, stride 2 in frequency, dilation 1 in time           2
    Conv2d 3x9, stride 2 in frequency, dilation 2 in time           3
    Conv2d 3x9, stride 2 in frequency, dilation 4 in time           4
    Conv2d 3x3                                                      5
    Conv2d 3x3 -> logits (B,T,F/8,1)                    LeakyReLU 0.2 after all but this one
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicodec import functional as F
from minicodec.nn.layers import Conv2d
from minicodec.nn.module import Module
from minicodec.tensor import Tensor

N_FFTS = (2048, 1024, 512, 256, 128)  # at 24 kHz; the 48 kHz model's are twice as long
DILATIONS = (1, 2, 4)
SLOPE = 0.2  # of LeakyReLU for negative inputs; 0.3 in AudioCraft


class Judgement(NamedTuple):
    """What the discriminator makes of a batch: for each scale its logits, and its list of feature maps."""

    logits: list[Tensor]
    features: list[list[Tensor]]


class STFTDiscriminator(Module):
    """One scale: windows of n_fft samples, hop n_fft/4."""

    def __init__(self, n_fft: int, filters: int, slope: float = SLOPE, *, rng: np.random.Generator):
        self.n_fft = n_fft
        C, norm = filters, "weight_norm"
        self.convs: list[Module] = [Conv2d(2, C, (3, 9), slope=slope, rng=rng)]
        for d in DILATIONS:
            self.convs.append(Conv2d(C, C, (3, 9), stride=(1, 2), dilation=(d, 1), norm=norm, slope=slope, rng=rng))
        self.convs.append(Conv2d(C, C, (3, 3), norm=norm, slope=slope, rng=rng))
        self.conv_post = Conv2d(C, 1, (3, 3), norm=norm, rng=rng)

    def __call__(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Signals x (B,T) -> logits (B,To,F',1), feature maps (B,To,F',C) with falling F'."""
        y = F.stft(x, n_fft=self.n_fft, hop=self.n_fft // 4, normalized=True)
        features = []
        for conv in self.convs:
            y = conv(y)
            features.append(y)
        return self.conv_post(y), features


class MultiScaleSTFTDiscriminator(Module):
    """All scales. Channels of audio are judged one by one, as if they were items of the batch."""

    def __init__(
        self, n_ffts: Sequence[int] = N_FFTS, filters: int = 32, slope: float = SLOPE, *, rng: np.random.Generator
    ):
        self.scales = [STFTDiscriminator(n_fft, filters, slope, rng=rng) for n_fft in n_ffts]

    def __call__(self, x: Tensor) -> Judgement:
        """Audio x (B,T,C), T at least the longest window."""
        B, T, C = x.shape
        signals = x.transpose(0, 2, 1).reshape(B * C, T)
        logits, features = zip(*(scale(signals) for scale in self.scales), strict=True)
        return Judgement(list(logits), list(features))
