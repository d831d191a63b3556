"""What is measured beyond single operators: the parts of a codec in use and in training.

A case is a piece of work that minicodec and its peer can both do, on the same weights and the same inputs; `ours.py`
and `torch_peer/` prepare it, each in its own way. Both weights and inputs are random: speed does not depend on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
FRAMES_LIVE = 16  # frames that a stream's result is compared on
STEPS = 2  # of Adam that its result is compared after
CODES = 10_000  # that the range coder codes
LATER = "later"  # how names of results begin that depend on an update: Adam makes ±lr of gradients that are rounding

TITLES = {
    "encoder": "encoder",
    "decoder": "decoder",
    "encoder_frame": "streaming encoder",
    "decoder_frame": "streaming decoder",
    "quantizer": "quantizer (RVQ)",
    "lstm": "LSTM forward",
    "lstm_step": "LSTM forward + backward",
    "generator": "generator forward + backward",
    "discriminator": "discriminator step",
    "adversarial": "adversarial step",
    "encode_batch": "encode a batch",
    "decode_batch": "decode a batch",
    "adam": "Adam, the codec's weights",
    "range_coder": "range coder, there and back",
    "lm_encode": "language model: encode",
    "lm_decode": "language model: decode",
}
# What the peer does as well; and what torch.compile is tried on: networks whole, on signals whole.
PEERED = (
    *("encoder", "decoder", "encoder_frame", "decoder_frame", "quantizer", "lstm", "lstm_step", "generator"),
    *("discriminator", "adversarial", "adam", "encode_batch", "decode_batch"),
)
BATCHED = ("lstm_step", "generator", "discriminator", "adversarial", "encode_batch", "decode_batch")
COMPILED = ("encoder", "decoder", "generator", "discriminator", "adversarial")
# How many times as fast as PyTorch each is meant to be, at the sizes of a thorough run.
TARGETS = {
    "encoder, 10 s": 2.0, "encoder, 60 s": 3.0, "decoder, 10 s": 2.0, "decoder, 60 s": 3.0,
    "streaming encoder, one frame": 4.0, "streaming decoder, one frame": 4.0,
    "LSTM forward, 10 s": 1.2, "LSTM forward + backward, 4 x 1 s": 1.2,
    "generator forward + backward, 4 x 1 s": 1.7, "discriminator step, 4 x 1 s": 1.3, "adversarial step, 4 x 1 s": 1.5,
    "adversarial step, 64 x 1 s": 1.0,  # on a GPU
}  # fmt: skip
LIMITS = {"adversarial step, 64 x 1 s": 0.6}  # seconds that no call may exceed

Arrays = Mapping[str, Any]  # NumPy arrays by name


@dataclass(frozen=True)
class Case:
    """A kind of work (of TITLES) on `batch` signals of `seconds` each; 0 seconds where audio is not what is counted."""

    kind: str
    seconds: float = 0.0
    batch: int = 1

    def __str__(self) -> str:
        """As in "discriminator step, 4 x 1 s"."""
        sizes = {"encoder_frame": "one frame", "decoder_frame": "one frame", "adam": ""}
        sizes["range_coder"] = f"{CODES} codes"
        audio = f"{self.seconds:g} s" if self.batch == 1 else f"{self.batch} x {self.seconds:g} s"
        size = sizes.get(self.kind, audio)
        return f"{TITLES[self.kind]}, {size}" if size else TITLES[self.kind]

    @property
    def file(self) -> str:
        """Name of the file with its results."""
        return f"{self.kind}-{self.seconds:g}-{self.batch}.npz"

    @property
    def target(self) -> float | None:
        """The ratio to reach against PyTorch; None where none is set."""
        return TARGETS.get(str(self))

    @property
    def limit(self) -> float | None:
        """Seconds that no call may exceed; None where there is no such limit."""
        return LIMITS.get(str(self))


class Prepared(NamedTuple):
    """What a case is made of. `run` is timed; `result`, called once before, does the same work and shows the outcome.

    Results are arrays by name, in minicodec's layout; integers are codes.
    """

    run: Callable[[], Any]
    result: Callable[[], Arrays]


def cases(quick: bool, device: str = "cpu") -> list[Case]:
    """All cases; if quick, on less audio. A new kind needs a line here, a title above, and a function in `ours.py`."""
    if device == "gpu":
        sizes = ((0.25, 2),) if quick else ((1.0, 16), (1.0, 64))
        return [*(Case(kind, *size) for kind in BATCHED for size in sizes), Case("adam")]
    seconds, batch = (0.25, 1) if quick else (1.0, 4)  # of a training step
    return [
        *(Case(kind, seconds) for kind in ("encoder", "decoder") for seconds in ((1,) if quick else (1, 10, 60))),
        Case("encoder_frame"),
        Case("decoder_frame"),
        Case("quantizer", 1 if quick else 10),
        Case("lstm", 1 if quick else 10),
        Case("lstm_step", seconds, batch),
        Case("generator", seconds, batch),
        Case("discriminator", seconds, batch),
        Case("adversarial", seconds, batch),
        Case("adam"),
        Case("range_coder"),
        Case("lm_encode", 0.2 if quick else 3),
        Case("lm_decode", 0.2 if quick else 3),
    ]


# Weights and inputs, the same in every process


@cache
def run_config(preset: str) -> RunConfig:
    """The preset's model at one rate, and its recipe with the discriminator in every step."""
    return from_preset(
        preset,
        "",
        [
            *(f"bandwidths=[{KBPS}]", f"quantizer.levels={LEVELS}", "warmup_steps=0", "unquantized=0.0"),
            *("adversary.enabled=true", "adversary.start=0", "adversary.probability=1.0"),
        ],
    )


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


def audio(case: Case, sample_rate: int, seed: int = 0) -> np.ndarray:
    """Noise with an RMS of 0.1, (B,T,1) float32, T a multiple of 320."""
    T = max(1, round(case.seconds * sample_rate / 320)) * 320
    return normal((case.batch, T, 1), seed) * np.float32(0.1)


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard normal numbers, float32."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
