"""The rival's side of every case, with minicodec's weights and inputs; results in minicodec's layout."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minicodec.evaluation.bench import ours
from minicodec.evaluation.bench.cases import (
    FRAMES_LIVE,
    LEVELS,
    STEPS,
    Arrays,
    Case,
    Prepared,
    audio,
    initial_codec,
    normal,
    run_config,
)
from minicodec.evaluation.bench.torch_peer.networks import LSTM, fold, gradients, load, parameters, tensor, translated
from minicodec.evaluation.bench.torch_peer.training import Adversary, Trainer, nearest, networks


def prepare(case: Case, preset: str, threads: int, name: str = "torch", device: str = "cpu") -> Prepared:
    """The case, ready to run. KeyError: there is no such kind.

    name     "torch"; "torch.compile" with its compiler; "torch.tf32" with products in TF32, on a GPU
    device   as PyTorch calls it
    """
    torch.set_num_threads(threads)
    torch.set_default_device(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "torch.tf32"
    torch.backends.cudnn.benchmark = True  # all shapes stay the same
    # All shapes of a case stay the same; left to itself, the compiler looks for code for all shapes, and often fails.
    compile_: Compile = partial(torch.compile, dynamic=False) if name == "torch.compile" else lambda network: network
    return PREPARE[case.kind](case, preset, compile_)


Compile = Callable[[Any], Any]


def to_torch(x: np.ndarray) -> Tensor:
    """x (B,T,C) -> (B,C,T)."""
    return tensor(np.ascontiguousarray(x.swapaxes(1, 2)))


@torch.inference_mode()
def _encode(encoder: Any, codebooks: Tensor, x: Tensor, live: bool = False) -> Tensor:
    """x (1,1,T) -> codes (Q,frames)."""
    return _quantize(encoder(x, live)[0].T, codebooks)


@torch.inference_mode()
def _quantize(z: Tensor, codebooks: Tensor) -> Tensor:
    codes = []
    for codebook in codebooks:
        codes.append(nearest(z, codebook))
        z = z - codebook[codes[-1]]
    return torch.stack(codes)


@torch.inference_mode()
def _decode(decoder: Any, codebooks: Tensor, codes: Tensor, live: bool = False) -> Tensor:
    """codes (Q,frames) -> (1,1,T)."""
    z = codebooks[0][codes[0]]
    for codebook, level in zip(codebooks[1:], codes[1:], strict=True):
        z = z + codebook[level]
    y: Tensor = decoder(z.T[None], live)
    return y


def _inference(preset: str) -> tuple[nn.Module, nn.Module, Tensor]:
    """Encoder, decoder and codebooks."""
    codec = initial_codec(preset)
    encoder, decoder = networks(codec)
    fold(encoder)
    fold(decoder)
    return encoder, decoder, tensor(codec.quantizer.codebooks[:LEVELS])


def encoder(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Waveform to codes."""
    network, _, codebooks = _inference(preset)
    run = partial(_encode, compile_(network), codebooks, to_torch(audio(case, initial_codec(preset).sample_rate)))
    return Prepared(run, lambda: {"codes": run().numpy(force=True)})


def decoder(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Codes to waveform."""
    _, network, codebooks = _inference(preset)
    run = partial(_decode, compile_(network), codebooks, _codes(preset, _frames(case, preset)))
    return Prepared(run, lambda: {"wav": run()[0].numpy(force=True)})


def _frames(case: Case, preset: str) -> int:
    codec = initial_codec(preset)
    return audio(case, codec.sample_rate).shape[1] // codec.config.seanet.hop


def _codes(preset: str, frames: int) -> Tensor:
    return tensor(ours.codes(frames, initial_codec(preset).config.quantizer.entries).astype(np.int64))


def encoder_frame(case: Case, preset: str, compile_: Compile) -> Prepared:
    """One frame's samples into a stream."""
    network, _, codebooks = _inference(preset)
    hop = initial_codec(preset).config.seanet.hop
    wav = tensor(normal((1, 1, FRAMES_LIVE * hop)) * np.float32(0.1))

    def push(t: int) -> Tensor:
        return _encode(network, codebooks, wav[:, :, t * hop : (t + 1) * hop], live=True)

    return Prepared(lambda: push(0), lambda: {"codes": torch.cat([push(t) for t in range(FRAMES_LIVE)], 1).numpy()})


def decoder_frame(case: Case, preset: str, compile_: Compile) -> Prepared:
    """One frame's codes into a stream."""
    _, network, codebooks = _inference(preset)
    codes = _codes(preset, FRAMES_LIVE)

    def push(t: int) -> Tensor:
        return _decode(network, codebooks, codes[:, t : t + 1], live=True)

    return Prepared(lambda: push(0), lambda: {"wav": torch.cat([push(t)[0] for t in range(FRAMES_LIVE)], 1).numpy()})


def quantizer(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Latents to codes."""
    _, _, codebooks = _inference(preset)
    run = partial(_quantize, tensor(ours.latents(case, preset)[0]), codebooks)
    return Prepared(run, lambda: {"codes": run().numpy(force=True)})


def _lstm(case: Case, preset: str) -> tuple[LSTM, Tensor]:
    theirs, x = ours.lstm_and_input(case, preset)
    network = LSTM(theirs.H, theirs.depth)
    load(network, theirs.state_dict())
    return network, to_torch(x.data)


def lstm(case: Case, preset: str, compile_: Compile) -> Prepared:
    """The encoder's LSTM on its own."""
    network, x = _lstm(case, preset)

    @torch.inference_mode()
    def run() -> Tensor:
        y: Tensor = network(x)
        return y

    return Prepared(run, lambda: {"y": run().transpose(1, 2).numpy(force=True)})


def lstm_step(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Forward and backward of it."""
    network, x = _lstm(case, preset)
    x.requires_grad_()

    def run() -> None:
        x.grad = None
        network.zero_grad()
        y = network(x)
        y.backward(y.detach())

    def result() -> Arrays:
        run()
        assert x.grad is not None
        return {"x": x.grad.transpose(1, 2).numpy(force=True)} | gradients(network)

    return Prepared(run, result)


def generator(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Encoder and decoder, forward and backward."""
    codec = initial_codec(preset)
    networks_ = nn.ModuleDict(dict(zip(("encoder", "decoder"), networks(codec), strict=True)))
    encode, decode = compile_(networks_["encoder"]), compile_(networks_["decoder"])
    x = to_torch(audio(case, codec.sample_rate))

    def run() -> None:
        networks_.zero_grad()
        y = decode(encode(x))
        y.backward(y.detach())

    def result() -> Arrays:
        run()
        return gradients(networks_)

    return Prepared(run, result)


def discriminator(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Forward on recordings and on decodings, hinge loss, backward, Adam."""
    adversary, rate = Adversary(preset), initial_codec(preset).sample_rate
    adversary.discriminator = compile_(adversary.discriminator)
    real, fake = to_torch(audio(case, rate)), to_torch(audio(case, rate, seed=1))
    run = partial(adversary.learn, real, fake)
    return Prepared(run, partial(ours.figures, run))


def adversarial(case: Case, preset: str, compile_: Compile) -> Prepared:
    """All of a training step."""
    trainer = Trainer(preset)
    trainer.encoder, trainer.decoder = compile_(trainer.encoder), compile_(trainer.decoder)
    trainer.adversary.discriminator = compile_(trainer.adversary.discriminator)
    run = partial(trainer.update, to_torch(audio(case, trainer.rate)))
    return Prepared(run, partial(ours.figures, run))


def encode_batch(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Many waveforms at once to codes."""
    encoder, _, codebooks = _inference(preset)
    network, x = compile_(encoder), to_torch(audio(case, initial_codec(preset).sample_rate))

    @torch.inference_mode()
    def run() -> Tensor:
        z = network(x).transpose(1, 2)
        return _quantize(z.reshape(-1, z.shape[2]), codebooks).reshape(LEVELS, *z.shape[:2])

    return Prepared(run, lambda: {"codes": run().numpy(force=True)})


def decode_batch(case: Case, preset: str, compile_: Compile) -> Prepared:
    """Codes of many waveforms at once back to these."""
    _, decoder, codebooks = _inference(preset)
    network, codes = compile_(decoder), tensor(ours.batch_codes(case, preset))

    @torch.inference_mode()
    def run() -> Tensor:
        y: Tensor = network(sum(book[level] for book, level in zip(codebooks, codes, strict=True)).transpose(1, 2))
        return y

    return Prepared(run, lambda: {"wav": run().transpose(1, 2).numpy(force=True)})


def adam(case: Case, preset: str, compile_: Compile) -> Prepared:
    """The codec's weights, once."""
    network = nn.ModuleDict(dict(zip(("encoder", "decoder"), networks(initial_codec(preset)), strict=True)))
    given = ours.adam_gradients(initial_codec(preset))
    for name, axes, p in translated(network):
        p.grad = tensor(np.ascontiguousarray(given[name].transpose(axes)))
    trained = [p for p in network.parameters() if p.grad is not None]
    config = run_config(preset).training
    optimizer = torch.optim.Adam(trained, config.lr, betas=config.betas, fused=True)

    def result() -> Arrays:
        for _ in range(STEPS):
            optimizer.step()
            for p in trained:
                assert p.grad is not None
                p.grad *= -0.5
        return parameters(network)

    return Prepared(optimizer.step, result)


PREPARE: dict[str, Callable[[Case, str, Compile], Prepared]] = {
    prepare.__name__: prepare
    for prepare in (
        *(encoder, decoder, encoder_frame, decoder_frame, quantizer, lstm, lstm_step, generator, discriminator),
        *(adversarial, encode_batch, decode_batch, adam),
    )
}
