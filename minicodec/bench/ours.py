"""minicodec's side of every case, through the doors that users have."""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from minicodec.bench.cases import (
    KBPS,
    LEVELS,
    Case,
    Prepared,
    audio,
    codes,
    fit_codebooks,
    frames,
    initial_adversary,
    initial_codec,
    normal,
    run_config,
)
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.files.entropy import chunk_coder
from minicodec.codec.files.entropy.predictor import Predictor
from minicodec.codec.language_model import SECONDS, LanguageModel, LanguageModelConfig
from minicodec.codec.model import Codec
from minicodec.device import host, module, read
from minicodec.nn.layers import LSTM
from minicodec.tensor import Tensor, grad
from minicodec.training.process_memory import keep_freed_memory
from minicodec.training.trainer import Trainer


def prepare(case: Case, preset: str, device: str = "cpu") -> Prepared:
    """The case, ready to run."""
    return PREPARE[case.kind](case, preset, device)


def _codec(preset: str, device: str) -> Codec:
    return deepcopy(initial_codec(preset)).to(device)


def encoder(case: Case, preset: str, device: str) -> Prepared:
    """Waveform to codes."""
    codec, wav = _codec(preset, device), np.ascontiguousarray(audio(case, preset)[0].T)
    return Prepared(lambda: codec.encode(wav, KBPS), lambda encoded: {"codes": encoded[0].codes})


def decoder(case: Case, preset: str, device: str) -> Prepared:
    """Codes to waveform."""
    codec, encoded = _codec(preset, device), [Chunk(codes(case, preset))]
    return Prepared(lambda: codec.decode(encoded), lambda wav: {"wav": wav})


def encoder_frame(case: Case, preset: str, device: str) -> Prepared:
    """One frame's samples into a stream. Padded with zeros, so that every frame comes out at once."""
    stream, wav = initial_codec(preset).stream_encoder(KBPS, pad_mode="zero"), audio(case, preset)[0].T
    return Prepared(lambda: stream.push(wav), lambda pushed: {"codes": pushed})


def decoder_frame(case: Case, preset: str, device: str) -> Prepared:
    """One frame's codes into a stream."""
    stream, frame = initial_codec(preset).stream_decoder(pad_mode="zero"), codes(case, preset)
    return Prepared(lambda: stream.push(frame), lambda wav: {"wav": wav})


def encoder_lstm(preset: str) -> LSTM:
    """The encoder's LSTM, all layers."""
    return next(layer for layer in initial_codec(preset).encoder.layers if isinstance(layer, LSTM))


def lstm(case: Case, preset: str, device: str) -> Prepared:
    """That LSTM on its own."""
    network = encoder_lstm(preset)
    x = Tensor(latents(case, preset, network.H))
    return Prepared(lambda: network(x), lambda y: {"y": y.data})


def latents(case: Case, preset: str, H: int) -> np.ndarray:
    """Random inputs (B,T,H) of a layer between encoder and decoder."""
    return normal((case.batch, frames(case, preset), H))


def lstm_step(case: Case, preset: str, device: str) -> Prepared:
    """Forward and backward of it."""
    network = encoder_lstm(preset)
    x = Tensor(latents(case, preset, network.H), requires_grad=True)
    return _gradients(lambda: network(x), {"x": x} | dict(network.named_parameters()))


def generator(case: Case, preset: str, device: str) -> Prepared:
    """Forward and backward of encoder and decoder, without quantizer and losses."""
    codec = _codec(preset, device)
    x = Tensor(module(device).asarray(audio(case, preset)))
    parameters = {name: p for name, p in codec.named_parameters() if name.startswith(("encoder", "decoder"))}
    return _gradients(lambda: codec.decoder(codec.encoder(x)), parameters)


def _gradients(forward: Callable[[], Tensor], inputs: Mapping[str, Tensor]) -> Prepared:
    """Forward, and the gradients of half the result's power, whose dy is y: no gradient is 0 by chance."""
    keep_freed_memory()  # as `minicodec train` does

    def run() -> list[Any]:
        y = forward()
        return grad(y, list(inputs.values()), y.data)

    return Prepared(run, lambda grads: {name: host(g) for name, g in zip(inputs, grads, strict=True)})


def discriminator(case: Case, preset: str, device: str) -> Prepared:
    """Forward on recordings and on decodings, hinge loss, backward, Adam."""
    keep_freed_memory()
    adversary = initial_adversary(preset, device)
    real, fake = (Tensor(module(device).asarray(audio(case, preset, seed))) for seed in (0, 1))
    parameters = dict(adversary.discriminator.named_parameters())
    start = [host(p.data).copy() for p in parameters.values()]

    def show(step: Mapping[str, Any]) -> dict[str, np.ndarray]:
        found = {f"gradient of {name}": host(p.grad) for name, p in parameters.items()}
        return figures(step) | found | {"update": distance([host(p.data) for p in parameters.values()], start)}

    return Prepared(lambda: adversary.learn(real, fake), show)


def distance(after: Iterable[np.ndarray], before: Iterable[np.ndarray]) -> np.ndarray:
    """How far all weights have come."""
    return np.sqrt(sum(np.square(a - b, dtype=np.float64).sum() for a, b in zip(after, before, strict=True)))


def adversarial(case: Case, preset: str, device: str) -> Prepared:
    """All of a training step: both players, all losses, the balancer, Adam, the averages."""
    keep_freed_memory()
    trainer, x = Trainer(run_config(preset), device), audio(case, preset)
    fit_codebooks(trainer.codec)
    return Prepared(lambda: trainer.update(x), figures)


def figures(step: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What a training step says of itself, as arrays."""
    return {name: np.array(value) for name, value in read([step])[0].items()}


def lm_encode(case: Case, preset: str, device: str) -> Prepared:
    """Codes to bytes, by the probabilities of a language model of the published size."""
    predictor, given = _predictor(preset), codes(case, preset)
    run = partial(chunk_coder.encode, given, predictor)
    return Prepared(run, lambda packed: {"bytes": np.frombuffer(packed, np.uint8)})


def lm_decode(case: Case, preset: str, device: str) -> Prepared:
    """And back, where every frame has to wait for the one before it."""
    predictor, given = _predictor(preset), codes(case, preset)
    packed = [chunk_coder.encode(given, predictor)]

    def show(decoded: list[np.ndarray | None]) -> dict[str, np.ndarray]:
        if decoded[0] is None or not np.array_equal(decoded[0], given):
            raise ValueError("the language model does not give back the codes that it was given")
        return {"codes": decoded[0]}

    return Prepared(lambda: chunk_coder.decode(packed, [given.shape[1]], predictor), show)


def _predictor(preset: str) -> Predictor:
    config = run_config(preset).model
    sizes = LanguageModelConfig(Q=LEVELS, N=config.quantizer.entries, context=round(SECONDS * config.frame_rate))
    return Predictor(LanguageModel(sizes, rng=np.random.default_rng(0)), LEVELS)


PREPARE: dict[str, Callable[[Case, str, str], Prepared]] = {
    prepare.__name__: prepare
    for prepare in (
        *(encoder, decoder, encoder_frame, decoder_frame, lstm, lstm_step, generator, discriminator, adversarial),
        *(lm_encode, lm_decode),
    )
}
