"""What is measured beyond single operators: the codec in use and in training.

minicodec (`ours.py`) and its rival (`torch_peer/`) do each case on the same weights and inputs. Both are random, since
speed does not depend on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minicodec.backend import xp
from minicodec.codec.model import Codec
from minicodec.training.adversarial import Adversary
from minicodec.training.config import RunConfig, from_preset
from minicodec.training.initial import initialise_codec

KBPS = 6.0  # of all cases
LEVELS = 8  # codebooks, which is what that rate has in the presets below
PRESETS = ("encodec_24khz", "mini_24khz")

TITLES = {
    "encoder": "encoder",
    "decoder": "decoder",
    "encoder_frame": "streaming encoder",
    "decoder_frame": "streaming decoder",
    "lstm": "LSTM forward",
    "lstm_step": "LSTM forward + backward",
    "generator": "generator forward + backward",
    "discriminator": "discriminator step",
    "adversarial": "adversarial step",
    "lm_encode": "language model: encode",
    "lm_decode": "language model: decode",
}
ALONE = ("lm_encode", "lm_decode")  # what PyTorch has no counterpart of
COMPILED = ("encoder", "decoder", "generator", "discriminator", "adversarial")  # what torch.compile is tried on
EXPORTED = ("encoder", "decoder", "lstm")  # and what engines are tried on that only run networks
# Seconds of a signal that rivals are given: they hold all of it, and ten minutes are 10 GB. Longer ones are coded once,
# since nobody waits for them twice.
LONGEST = 60.0
# Calls whose results are compared, one after the other: a stream's state, and what an update did, show in later ones.
COMPARED = {"encoder_frame": 16, "decoder_frame": 16, "adversarial": 2}


@dataclass(frozen=True)
class Case:
    """A kind of work (of TITLES) on `batch` signals of `seconds` each; 0 seconds: one frame.

    target     how many times as fast as PyTorch it is meant to be
    filters    C, the channels of the first layer, if not the preset's
    """

    kind: str
    seconds: float = 0.0
    batch: int = 1
    target: float | None = None
    filters: int | None = None

    def __str__(self) -> str:
        """As in "discriminator step, 4 x 1 s"."""
        audio = f"{self.batch} x {self.seconds:g} s" if self.batch > 1 else f"{self.seconds:g} s"
        channels = f", C = {self.filters}" if self.filters else ""
        return f"{TITLES[self.kind]}, {audio if self.seconds else 'one frame'}{channels}"

    def sized(self, preset: str) -> str:
        """The preset, with as many filters as this case wants: what `run_config` takes."""
        return f"{preset} seanet.filters={self.filters}" if self.filters else preset


class Prepared(NamedTuple):
    """A case that is ready: `run` is timed; `show` turns what it returns into NumPy arrays by name, to be compared.

    Arrays of integers are codes.
    """

    run: Callable[[], Any]
    show: Callable[[Any], Mapping[str, np.ndarray]]


def cases(quick: bool, device: str = "cpu") -> list[Case]:
    """All cases of a device; if quick, on less audio. A new kind needs a title above and a function in `ours.py`."""
    if device == "gpu":
        whole = [Case("encoder", 60), Case("decoder", 60)]
        steps = [Case(kind, 1, batch) for kind in ("generator", "discriminator") for batch in (16, 64)]
        every = [*whole, *steps, Case("adversarial", 1, 16), Case("adversarial", 1, 64, 1.0)]
    else:
        every = [
            *(Case("encoder", 10, 1, 2.0), Case("encoder", 60, 1, 3.0)),
            *(Case("decoder", 10, 1, 2.0), Case("decoder", 60, 1, 3.0)),
            *(Case("encoder_frame", 0, 1, 4.0), Case("decoder_frame", 0, 1, 4.0)),
            *(Case("lstm", 10, 1, 1.2), Case("lstm_step", 1, 4, 1.2)),
            *(Case("generator", 1, 4, 1.7), Case("discriminator", 1, 4, 1.3), Case("adversarial", 1, 4, 1.5)),
            *(Case("lm_encode", 3), Case("lm_decode", 3)),
        ]
    return shortened(every) if quick else every


def curve(quick: bool) -> list[Case]:
    """How the cost grows: with the length (to one hour), with the batch, with the channels C."""
    batches = [Case("generator", 1, batch) for batch in (1, 2, 4, 8)]
    channels = [Case("encoder", 10, filters=C) for C in (8, 16, 32, 64)]
    lengths = [Case("encoder", seconds) for seconds in (1, 10, 60, 600, 3600)]
    every = [*batches, *channels, *lengths]
    return shortened(every) if quick else every


def shortened(every: list[Case]) -> list[Case]:
    """The cases on less audio, without their targets."""
    less = [replace(c, seconds=min(c.seconds, 0.25), batch=min(c.batch, 2), target=None) for c in every]
    return list(dict.fromkeys(less))


# Weights and inputs, the same in every process


@cache
def run_config(preset: str) -> RunConfig:
    """The preset's model at one rate; its recipe with a discriminator in every step, and the mel loss of the rival.

    preset: a name, and after it settings that differ, as `Case.sized` gives it.
    """
    name, *sizes = preset.split()
    model = [f"bandwidths=[{KBPS}]", f"quantizer.levels={LEVELS}"]
    recipe = ["warmup_steps=0", "unquantized=0.0", "loss.mel_kind=fitting", "adversary.enabled=true"]
    return from_preset(name, "", [*sizes, *model, *recipe, "adversary.start=0", "adversary.probability=1.0"])


@cache
def initial_codec(preset: str) -> Codec:
    """A codec whose weights keep signals alive, and whose codebooks fit what comes out of the encoder."""
    codec = Codec(run_config(preset).model)
    initialise_codec(codec)
    fit_codebooks(codec)
    return codec


def fit_codebooks(codec: Codec) -> None:
    """Random codewords of about the latents' size, smaller from level to level; all are in use, none is to be found."""
    quantizer = codec.quantizer
    sizes = 0.1 * 0.8 ** np.arange(quantizer.levels, dtype=np.float32)
    quantizer.codebooks *= xp(quantizer.codebooks).asarray(sizes)[:, None, None]
    quantizer.counts[...] = 1
    quantizer.sums[...] = quantizer.codebooks
    quantizer.updates[...] = 1


def initial_adversary(preset: str, device: str = "cpu") -> Adversary:
    """The discriminator that the recipe starts with."""
    config = run_config(preset).training
    return Adversary(config.adversary, seed=config.seed, device=device)


def audio(case: Case, preset: str, seed: int = 0) -> np.ndarray:
    """Noise with an RMS of 0.1, (B,T,1) float32, T a multiple of the hop: one frame at least."""
    hop = run_config(preset).model.network.hop
    return normal((case.batch, frames(case, preset) * hop, 1), seed) * np.float32(0.1)


def frames(case: Case, preset: str) -> int:
    """Of latents, in each signal."""
    return max(1, round(case.seconds * run_config(preset).model.frame_rate))


def codes(case: Case, preset: str) -> np.ndarray:
    """Random codes (Q,frames) int16."""
    entries = run_config(preset).model.quantizer.entries
    return np.random.default_rng(2).integers(0, entries, (LEVELS, frames(case, preset)), np.int16)


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal numbers, float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
