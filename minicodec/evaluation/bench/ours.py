"""minicodec's side of every case: a call to time, and a result to compare, through the doors that users have."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.model import Codec
from minicodec.evaluation.bench import entropy
from minicodec.evaluation.bench.cases import (
    FRAMES_LIVE,
    KBPS,
    LATER,
    LEVELS,
    STEPS,
    Arrays,
    Case,
    Prepared,
    audio,
    fit_codebooks,
    initial_adversary,
    initial_codec,
    normal,
    run_config,
)
from minicodec.evaluation.bench.place import CPU, Place
from minicodec.nn.layers import LSTM
from minicodec.nn.module import Module
from minicodec.nn.optim import Adam
from minicodec.tensor import Tensor, grad, no_grad
from minicodec.training.process_memory import keep_freed_memory
from minicodec.training.trainer import Trainer


def prepare(case: Case, preset: str, where: Place = CPU) -> Prepared:
    """The case, ready to run; on a GPU, one of BATCHED or Adam. KeyError: there is no such kind."""
    if case.kind in ON_GPU:
        return ON_GPU[case.kind](case, preset, where)
    if where is not CPU:
        raise ValueError(f"{case}: not on a GPU")
    return PREPARE[case.kind](case, preset)


def encoder(case: Case, preset: str) -> Prepared:
    """Waveform to codes."""
    codec = initial_codec(preset)
    wav = np.ascontiguousarray(audio(case, codec.sample_rate)[0].T)
    return Prepared(lambda: codec.encode(wav, KBPS), lambda: {"codes": codec.encode(wav, KBPS)[0].codes})


def decoder(case: Case, preset: str) -> Prepared:
    """Codes to waveform."""
    codec = initial_codec(preset)
    frames = audio(case, codec.sample_rate).shape[1] // codec.config.seanet.hop
    chunks = [Chunk(codes(frames, codec.config.quantizer.entries))]
    return Prepared(lambda: codec.decode(chunks), lambda: {"wav": codec.decode(chunks)})


def codes(frames: int, entries: int) -> np.ndarray:
    """Random codes (Q,frames) int16."""
    return np.random.default_rng(2).integers(0, entries, (LEVELS, frames), np.int16)


def encoder_frame(case: Case, preset: str) -> Prepared:
    """One frame's samples into a stream. Padded with zeros, so that every frame comes out at once."""
    codec = initial_codec(preset)
    stream, hop = codec.stream_encoder(KBPS, pad_mode="zero"), codec.config.seanet.hop
    wav = normal((1, FRAMES_LIVE * hop)) * np.float32(0.1)

    def result() -> Arrays:
        pushes = [stream.push(wav[:, t : t + hop]) for t in range(0, wav.shape[1], hop)]
        return {"codes": np.concatenate(pushes, axis=1)}

    return Prepared(lambda: stream.push(wav[:, :hop]), result)


def decoder_frame(case: Case, preset: str) -> Prepared:
    """One frame's codes into a stream."""
    codec = initial_codec(preset)
    stream, some = codec.stream_decoder(pad_mode="zero"), codes(FRAMES_LIVE, codec.config.quantizer.entries)

    def result() -> Arrays:
        return {"wav": np.concatenate([stream.push(some[:, t : t + 1]) for t in range(FRAMES_LIVE)], axis=1)}

    return Prepared(lambda: stream.push(some[:, :1]), result)


def quantizer(case: Case, preset: str) -> Prepared:
    """Latents to codes."""
    codec = initial_codec(preset)
    z = latents(case, preset)[0]
    return Prepared(
        lambda: codec.quantizer.encode(z, LEVELS), lambda: {"codes": codec.quantizer.encode(z, LEVELS)}
    )


def latents(case: Case, preset: str) -> np.ndarray:
    """Random vectors (B,T,D) of about the size that the encoder gives them."""
    codec = initial_codec(preset)
    frames = audio(case, codec.sample_rate).shape[1] // codec.config.seanet.hop
    return normal((case.batch, frames, codec.config.seanet.latent)) * np.float32(0.2)


def lstm(case: Case, preset: str) -> Prepared:
    """The encoder's LSTM, all layers, on its own."""
    network, x = lstm_and_input(case, preset)
    return Prepared(lambda: network(x), lambda: {"y": network(x).data})


def lstm_and_input(case: Case, preset: str) -> tuple[LSTM, Tensor]:
    """That LSTM, and inputs (B,T,H)."""
    codec = initial_codec(preset)
    network = next(layer for layer in codec.encoder.layers if isinstance(layer, LSTM))
    frames = audio(case, codec.sample_rate).shape[1] // codec.config.seanet.hop
    return network, Tensor(normal((case.batch, frames, network.H)))


def lstm_step(case: Case, preset: str, where: Place) -> Prepared:
    """Forward and backward of it."""
    keep_freed_memory()  # as `minicodec train` does
    network, x = lstm_and_input(case, preset)
    network, x = deepcopy(network).to(where.device), Tensor(where.put(x.data), requires_grad=True)
    return _gradients(lambda: network(x), {"x": x} | dict(network.named_parameters()))


def generator(case: Case, preset: str, where: Place) -> Prepared:
    """Encoder and decoder, without quantizer and losses."""
    keep_freed_memory()
    codec = deepcopy(initial_codec(preset)).to(where.device)
    x = Tensor(where.put(audio(case, codec.sample_rate)))
    parameters = _named({"encoder": codec.encoder, "decoder": codec.decoder})
    return _gradients(lambda: codec.decoder(codec.encoder(x)), parameters)


def _named(networks: Mapping[str, Module]) -> dict[str, Tensor]:
    return {f"{part}.{name}": p for part, network in networks.items() for name, p in network.named_parameters()}


def _gradients(forward: Callable[[], Tensor], parameters: Mapping[str, Tensor]) -> Prepared:
    """Forward, and the gradients of half the result's power, whose dy is y: no gradient is 0 by chance."""

    def run() -> list[Any]:
        y = forward()
        return grad(y, list(parameters.values()), y.data)

    return Prepared(run, lambda: dict(zip(parameters, run(), strict=True)))


def discriminator(case: Case, preset: str, where: Place) -> Prepared:
    """Forward on recordings and on decodings, hinge loss, backward, Adam."""
    keep_freed_memory()
    adversary, rate = initial_adversary(preset, where.device), initial_codec(preset).sample_rate
    real, fake = (Tensor(where.put(audio(case, rate, seed))) for seed in (0, 1))

    return Prepared(lambda: adversary.learn(real, fake), lambda: figures(lambda: adversary.learn(real, fake)))


def figures(step: Callable[[], Mapping[str, Any]]) -> Arrays:
    """What two steps of training say, each by itself: the second one's losses show the first one's update."""
    first, later = step(), step()
    later = {name: value for name, value in later.items() if name != "accuracy"}  # a matter of luck
    named = {f"first {name}": value for name, value in first.items()}
    named |= {f"{LATER} {name}": value for name, value in later.items()}
    return {name: np.array(float(value)) for name, value in named.items()}


def adversarial(case: Case, preset: str, where: Place) -> Prepared:
    """All of a training step: both players, all losses, the balancer, Adam, the averages."""
    keep_freed_memory()
    trainer = Trainer(run_config(preset), where.device)
    fit_codebooks(trainer.codec)
    x = audio(case, trainer.codec.sample_rate)

    return Prepared(lambda: trainer.update(x), lambda: figures(lambda: trainer.update(x)))


def encode_batch(case: Case, preset: str, where: Place) -> Prepared:
    """Many waveforms at once to codes."""
    codec = deepcopy(initial_codec(preset)).to(where.device)
    x = Tensor(where.put(audio(case, codec.sample_rate)))

    def run() -> Any:
        with no_grad():
            return codec.quantizer.encode(codec.encoder(x).data, LEVELS)

    return Prepared(run, lambda: {"codes": run()})


def decode_batch(case: Case, preset: str, where: Place) -> Prepared:
    """Codes of many waveforms at once back to these."""
    codec = deepcopy(initial_codec(preset)).to(where.device)
    some = where.put(batch_codes(case, preset))

    def run() -> Any:
        with no_grad():
            return codec.decoder(Tensor(codec.quantizer.decode(some))).data

    return Prepared(run, lambda: {"wav": run()})


def batch_codes(case: Case, preset: str) -> np.ndarray:
    """Random codes (Q,B,frames) int64."""
    codec = initial_codec(preset)
    frames = audio(case, codec.sample_rate).shape[1] // codec.config.seanet.hop
    flat = codes(case.batch * frames, codec.config.quantizer.entries)
    return flat.reshape(LEVELS, case.batch, frames).astype(np.int64)


def adam(case: Case, preset: str, where: Place) -> Prepared:
    """The codec's weights, once."""
    codec = deepcopy(initial_codec(preset)).to(where.device)  # other cases want it as it is
    parameters, config = dict(codec.named_parameters()), run_config(preset).training
    optimizer = Adam(parameters, lr=config.lr, betas=config.betas)
    for name, g in adam_gradients(codec).items():
        parameters[name].grad = where.put(g)

    def result() -> Arrays:
        for _ in range(STEPS):
            optimizer.step()
            for p in parameters.values():
                p.grad = -p.grad / 2  # as long as gradients stay the same, the averages do not matter
        return {name: p.data.copy() for name, p in parameters.items()}

    return Prepared(optimizer.step, result)


def adam_gradients(codec: Codec) -> dict[str, np.ndarray]:
    """Random gradients of all parameters."""
    return {name: normal(p.shape, seed) for seed, (name, p) in enumerate(codec.named_parameters())}


PREPARE: dict[str, Callable[[Case, str], Prepared]] = {
    prepare.__name__: prepare
    for prepare in (
        *(encoder, decoder, encoder_frame, decoder_frame, quantizer, lstm),
        *(entropy.range_coder, entropy.lm_encode, entropy.lm_decode),
    )
}
ON_GPU: dict[str, Callable[[Case, str, Place], Prepared]] = {
    prepare.__name__: prepare
    for prepare in (lstm_step, generator, discriminator, adversarial, encode_batch, decode_batch, adam)
}
