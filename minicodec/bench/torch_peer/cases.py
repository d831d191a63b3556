"""The rival's side of every case, with minicodec's weights and inputs; results in minicodec's layout."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from minicodec.bench import ours
from minicodec.bench.cases import LEVELS, Case, Prepared, audio, codes, initial_codec
from minicodec.bench.torch_peer.networks import LSTM, Decode, Encode, rival, tensor, translated
from minicodec.bench.torch_peer.training import Adversary, Compile, Trainer

synchronize = torch.cuda.synchronize


def prepare(case: Case, preset: str, threads: int, compiled: bool = False, device: str = "cpu") -> Prepared:
    """The case, ready to run; compiled: by torch.compile; device: as PyTorch calls it."""
    torch.set_num_threads(threads)
    torch.set_default_device(device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32, as minicodec
    torch.backends.cudnn.benchmark = True  # all shapes of a case stay the same
    # Left to itself, the compiler looks for code for all shapes, and often fails.
    compiling: Compile = partial(torch.compile, dynamic=False) if compiled else lambda network: network
    return PREPARE[case.kind](case, preset, compiling)


def _signal(case: Case, preset: str, seed: int = 0) -> Tensor:
    """(B,1,T)."""
    return tensor(audio(case, preset, seed).swapaxes(1, 2))


def network_of(case: Case, preset: str, compiled: Compile = lambda network: network) -> tuple[nn.Module, Tensor]:
    """What runs in a case without gradients, and its input."""
    codec = initial_codec(preset)
    codebooks = tensor(codec.quantizer.codebooks[:LEVELS])
    if case.kind.startswith("encoder"):
        return Encode(compiled(rival(codec.encoder).fold()), codebooks), _signal(case, preset)
    if case.kind.startswith("decoder"):
        return Decode(compiled(rival(codec.decoder).fold()), codebooks), tensor(codes(case, preset)).long()
    return _lstm(case, preset)


def shown(case: Case, y: np.ndarray) -> dict[str, np.ndarray]:
    """Its result, in minicodec's layout."""
    kind = case.kind.removesuffix("_frame")
    return {"codes": y} if kind == "encoder" else {"wav": y[0]} if kind == "decoder" else {"y": y.swapaxes(1, 2)}


def inference(case: Case, preset: str, compiled: Compile) -> Prepared:
    """Waveform to codes, codes to waveform, whole or one frame into a stream; or the encoder's LSTM on its own."""
    network, x = network_of(case, preset, compiled)
    live = case.kind.endswith("_frame")
    return Prepared(torch.inference_mode()(lambda: network(x, live)), lambda y: shown(case, y.numpy(force=True)))


def _lstm(case: Case, preset: str) -> tuple[LSTM, Tensor]:
    network = ours.encoder_lstm(preset)
    return rival(network), tensor(ours.latents(case, preset, network.H).swapaxes(1, 2))


def lstm_step(case: Case, preset: str, compiled: Compile) -> Prepared:
    """Forward and backward of it."""
    network, x = _lstm(case, preset)
    x.requires_grad_()

    def run() -> Tensor | None:
        x.grad = None
        network.zero_grad()
        y = network(x)
        y.backward(y.detach())
        return x.grad

    return Prepared(run, lambda dx: {"x": dx.mT.numpy(force=True)} | translated(network, "grad"))


def generator(case: Case, preset: str, compiled: Compile) -> Prepared:
    """Encoder and decoder, forward and backward."""
    codec, x = initial_codec(preset), _signal(case, preset)
    networks = nn.ModuleDict({"encoder": rival(codec.encoder), "decoder": rival(codec.decoder)})
    encode, decode = map(compiled, networks.values())

    def run() -> None:
        networks.zero_grad()
        y = decode(encode(x))
        y.backward(y.detach())

    return Prepared(run, lambda _: translated(networks, "grad"))


def discriminator(case: Case, preset: str, compiled: Compile) -> Prepared:
    """Forward on recordings and on decodings, hinge loss, backward, Adam."""
    adversary, real, fake = Adversary(preset, compiled), _signal(case, preset), _signal(case, preset, seed=1)
    start = {name: p.copy() for name, p in translated(adversary.network, "data").items()}

    def show(step: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        found = {f"gradient of {name}": g for name, g in translated(adversary.network, "grad").items()}
        after = translated(adversary.network, "data")
        return _figures(step) | found | {"update": ours.distance(after.values(), start.values())}

    return Prepared(lambda: adversary.learn(real, fake), show)


def adversarial(case: Case, preset: str, compiled: Compile) -> Prepared:
    """All of a training step."""
    trainer, x = Trainer(preset, compiled), _signal(case, preset)
    return Prepared(lambda: trainer.update(x), _figures)


def _figures(step: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: np.array(value.item()) for name, value in step.items()}


PREPARE: dict[str, Callable[[Case, str, Compile], Prepared]] = {
    "encoder": inference, "encoder_frame": inference, "decoder": inference, "decoder_frame": inference,
    "lstm": inference, "lstm_step": lstm_step, "generator": generator, "discriminator": discriminator,
    "adversarial": adversarial,
}  # fmt: skip
