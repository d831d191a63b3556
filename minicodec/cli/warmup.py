"""`minicodec warmup`: compile all that Numba compiles, now, so that nobody waits for it later.

Numba compiles a function when it is called first, for the types of that call. So each kind of work is done once, on
little data. What was compiled before is found, and costs next to nothing.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

import minicodec
from minicodec import functional as F
from minicodec.backend import active
from minicodec.errors import InputError
from minicodec.evaluation.visqol import gammatone
from minicodec.tensor import Tensor, grad
from minicodec.training.config import from_preset
from minicodec.training.language_model.config import for_codec
from minicodec.training.language_model.trainer import LanguageModelTrainer
from minicodec.training.trainer import Trainer

# Smaller than anybody's: what is compiled depends on the kinds of layers and on how arrays lie, not on their sizes.
MONO = ("adversary.start=0", "adversary.probability=1", "adversary.windows=[256]", "adversary.filters=2")
STEREO = (*MONO, "seanet.filters=2", "seanet.latent=4", "quantizer.levels=2", "bandwidths=[3]")
LM = ("model.D=8", "model.layers=1", "model.heads=2", "model.hidden=8", "model.context=8")


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no arguments."""


def run(args: argparse.Namespace) -> int:
    """Do each kind of work; print how long that took, and where the result is kept."""
    if active() != "numba":
        raise InputError("Numba is not installed, or NUMBA_DISABLE_JIT forbids it: there is nothing to compile")
    from minicodec.kernels.cpu.engine.compile import folder_to_write

    folder = folder_to_write()
    if folder is None:
        raise InputError("no folder to keep compiled code in can be written: NUMBA_CACHE_DIR names one")
    began = time.perf_counter()
    for work in _shown():
        work()
    print(f"all is compiled, in {time.perf_counter() - began:.1f} s, and kept in {folder}")
    return 0


def coding() -> None:
    """A second of audio to codes and back, whole and as a stream, frame by frame."""
    for codec in (minicodec.load("minicodec-24k"), minicodec.build("mini_24khz", seed=0)):
        codec.decode(codec.encode(noise(1, 24_000), 6))
        encoder, decoder = codec.stream_encoder(6, pad_mode="zero"), codec.stream_decoder(pad_mode="zero")
        decoder.push(encoder.push(noise(1, 320)))


def training() -> None:
    """Two steps with a discriminator."""
    trainer = Trainer(from_preset("mini_24khz", "", MONO))
    for _ in range(2):
        trainer.update(noise(2, 6000, 1))


def stereo() -> None:
    """The other kinds of layers: not causal, with group norm, in chunks."""
    trainer = Trainer(from_preset("encodec_48khz", "", STEREO))
    trainer.update(noise(2, 9600, 2))
    codec = trainer.averaged_codec()
    codec.decode(codec.encode(noise(2, 48_000), 3))


def language_model() -> None:
    """A step of its training, and files that are made smaller by it."""
    codec = minicodec.build("tiny_24khz", seed=0)
    trainer = LanguageModelTrainer(for_codec("", codec, "", LM), codec)
    trainer.update(np.zeros((2, 8, 6), np.int64))
    for lm in (trainer.lm, "adaptive"):
        codec.decompress(codec.compress(noise(1, 9600), 6, lm), lm=trainer.lm)


def other_layers() -> None:
    """What no preset has: a convolution whose input is no multiple of its stride."""
    x, w, b = (Tensor(noise(*shape), requires_grad=True) for shape in [(1, 9, 2), (3, 2, 2), (2,)])
    y = F.conv1d_layer(x, w, b, elu=True, left=0, right=0, stride=2)
    grad(y, [x, w, b], y.data)


def evaluation() -> None:
    """The ear that ViSQOL models."""
    gammatone.spectrogram(noise(4800), 16_000, 32)


WORK: dict[str, Callable[[], None]] = {
    "encoding and decoding": coding,
    "training": training,
    "training in stereo": stereo,
    "language models": language_model,
    "other layers": other_layers,
    "evaluation": evaluation,
}


def noise(*shape: int) -> np.ndarray:
    """Random samples at -20 dB."""
    return np.float32(0.1) * np.random.default_rng(0).standard_normal(shape, np.float32)


def _shown() -> Iterator[Callable[[], None]]:
    """The work, and how far it is: a bar on a terminal, plain lines elsewhere, on stderr."""
    if sys.stderr is None or not sys.stderr.isatty():
        for n, (title, work) in enumerate(WORK.items(), 1):
            print(f"{n} of {len(WORK)}: {title}", file=sys.stderr, flush=True)
            yield work
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(WORK))
        for title, work in WORK.items():
            bar.update(task, description=title)
            yield work
            bar.advance(task)
