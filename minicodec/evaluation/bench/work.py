"""How many multiplications and additions a case takes.

Only products are counted: activations, norms and losses come for free.
"""

import numpy as np

from minicodec.evaluation.bench.cases import LEVELS, Case, audio, initial_adversary, initial_codec
from minicodec.nn.layers import LSTM, Conv1d, Conv2d, ConvTranspose1d
from minicodec.nn.module import Module
from minicodec.training.discriminator import STFTDiscriminator


def work(case: Case, preset: str) -> float | None:
    """Of one call; None where there are (nearly) no products."""
    codec = initial_codec(preset)
    T = audio(case, codec.sample_rate).shape[1]
    B, frames, latent = case.batch, T // codec.config.seanet.hop, codec.config.seanet.latent
    quantizer = 2.0 * B * frames * LEVELS * codec.config.quantizer.entries * latent
    lstm = next(layer for layer in codec.encoder.layers if isinstance(layer, LSTM))
    generator = B * (network_work(codec.encoder, T) + network_work(codec.decoder, frames))
    match case.kind:
        case "encoder" | "encoder_frame":
            return network_work(codec.encoder, T) + quantizer
        case "decoder" | "decoder_frame":
            return network_work(codec.decoder, frames)
        case "encode_batch":
            return B * network_work(codec.encoder, T) + quantizer
        case "decode_batch":
            return B * network_work(codec.decoder, frames)
        case "quantizer":
            return quantizer
        case "lstm":
            return network_work(lstm, frames)
        case "lstm_step":
            return 3 * B * network_work(lstm, frames)
        case "generator":  # a backward is two more products, for the gradients of inputs and of weights
            return 3 * generator
        case "discriminator":  # sees recordings and decodings
            return 3 * 2 * B * discriminator_work(preset, T)
        case "adversarial":  # the same; then it looks at both again, and two losses go back to its input
            return 3 * generator + quantizer + (6 + 2 + 2) * B * discriminator_work(preset, T)
    return None


def network_work(network: Module, T: int) -> float:
    """Of a forward of a SEANet network, or of one of its layers, on T frames."""
    total = 0.0
    for layer in _layers(network):
        match layer:
            case Conv1d():
                T = -(-T // layer.stride)
                total += 2.0 * T * np.prod(layer.effective_weight().shape)
            case ConvTranspose1d():
                total += 2.0 * T * np.prod(layer.effective_weight().shape)
                T *= layer.stride
            case LSTM():
                total += 2.0 * T * sum(p.data.size for p in layer.parameters() if p.data.ndim == 2)
    return total


def _layers(network: Module) -> list[Module]:
    """The layers that have weights, in order; those of a residual unit leave the number of frames as it is."""
    if isinstance(network, Conv1d | ConvTranspose1d | LSTM):
        return [network]
    return [layer for _, part in network.parts() for layer in _layers(part)]


def discriminator_work(preset: str, T: int) -> float:
    """Of a forward of all scales on T samples."""
    return sum(_scale_work(scale, T) for scale in initial_adversary(preset).discriminator.scales)


def _scale_work(scale: STFTDiscriminator, T: int) -> float:
    frames, bins = (T - scale.n_fft) // (scale.n_fft // 4) + 1, scale.n_fft // 2 + 1
    total = 0.0
    for conv in (*scale.convs, scale.conv_post):
        assert isinstance(conv, Conv2d)
        bins = -(-bins // conv.stride[1])
        total += 2.0 * frames * bins * np.prod(conv.effective_weight().shape)
    return total
