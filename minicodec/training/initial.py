"""Weights to start from, such that signals keep their power from layer to layer [after He15].

PyTorch's initial weights make the power of what goes through a convolution a third or less. After twenty layers of a
codec nothing but the biases is left, and hundreds of steps go by before the output depends on the input at all. A
discriminator that starts so says the same of everything, and has nothing to teach until it has found its input.
"""

import math

import numpy as np

from minicodec.codec.model import Codec
from minicodec.codec.seanet import ResidualUnit
from minicodec.nn.layers import Conv1d, Conv2d, ConvTranspose1d
from minicodec.nn.module import Module
from minicodec.training.discriminator import MultiScaleSTFTDiscriminator


def initialise_codec(codec: Codec) -> None:
    """An untrained codec's weights. The last layer begins ten times weaker: audio has an RMS of about 0.1.

    Where the network is a transform codec, units begin as almost nothing; what follows from data: `start_transform`.
    """
    if codec.config.transform:
        for unit in codec.modules():
            if isinstance(unit, ResidualUnit):
                _, first, _, second = unit.block
                assert isinstance(first, Conv1d)
                assert isinstance(second, Conv1d)
                first.bias.data[...], second.bias.data[...] = 0, 0
                second.weight.data *= np.float32(0.1)
        return
    preserve_variance(codec)
    last = codec.decoder.layers[-1]
    assert isinstance(last, Conv1d)
    (last.weight_g if hasattr(last, "weight_g") else last.weight).data *= np.float32(0.1)


def initialise_discriminator(discriminator: MultiScaleSTFTDiscriminator, slope: float) -> None:
    """An untrained discriminator's weights, with a gain for what LeakyReLU takes away."""
    preserve_variance(discriminator, gain=math.sqrt(2 / (1 + slope**2)))


def preserve_variance(network: Module, gain: float = 1.0) -> None:
    """Scale all convolutions so that the squared weights that make up an output sum to gain²; biases start at 0."""
    for module in network.modules():
        if isinstance(module, Conv1d | ConvTranspose1d | Conv2d):
            w = module.effective_weight().data
            # In a transposed convolution, only every stride-th tap contributes to an output.
            taps = 1 / module.stride if isinstance(module, ConvTranspose1d) else 1
            power = (w**2).sum(axis=tuple(range(w.ndim - 1))).mean() * taps
            weight = module.weight_g if hasattr(module, "weight_g") else module.weight
            weight.data *= np.float32(gain / math.sqrt(power))
            module.bias.data[...] = 0
