"""Training: what happens in one step, and the state it changes.

    x        = batch(step)                                 crops of the data, (B,T,C)
    z        = encoder(x)
    ẑ        = quantizer(z)                                not during the warm-up; a bandwidth drawn for each batch
    x̂        = decoder(ẑ)
    L        = λ_l1 l1(x, x̂) + λ_mel mel(x, x̂) + λ_c commitment(z)
    weights  = Adam(weights, dL/dweights)
    average  = decay · average + (1 - decay) · weights     what is validated, saved as the model, and used

All that is random in step n comes from generators seeded by (seed, n). A trainer at step n is therefore determined by
its arrays, which `state` lists and a checkpoint holds.
"""

import math
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.codec.model import Codec
from minicodec.errors import InputError
from minicodec.nn.optim import Adam
from minicodec.tensor import Tensor
from minicodec.training.config import RunConfig
from minicodec.training.losses import MelLoss

# Streams of random numbers. Not 0: NumPy's seed sequences [s, n] and [s, n, 0] are the same, and [s, n] is the data's.
BANDWIDTH, QUANTIZER = 1, 2
EXPLODED = 100  # times the median loss of the last steps
REMEMBERED = 100  # losses


class DivergedError(InputError):
    """The loss, or its gradient, is no finite number any more, or has exploded: its message is what has."""


class Trainer:
    """A codec in training. `step` counts the updates made.

    codec       the weights that are trained
    average     a second codec: the moving average of those weights, with the same codebooks
    """

    def __init__(self, run: RunConfig):
        self.config = run.training
        self.codec = Codec(run.model, seed=self.config.seed)
        self.average = Codec(run.model, seed=self.config.seed)
        self.average.eval()
        self.optimizer = Adam(dict(self.codec.named_parameters()), lr=self.config.lr, betas=self.config.betas)
        self.mel_loss = MelLoss(run.model.sample_rate, self.config.loss.mel_windows)
        self.step = 0
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    def update(self, x: np.ndarray) -> dict[str, float]:
        """One step on crops x (B,T,C) float32 -> the losses and the gradient's norm.

        DivergedError: they cannot be used; then no weight has changed.
        """
        weights, original = self.config.loss, Tensor(x)
        with np.errstate(over="ignore", invalid="ignore"):  # no warnings: _check says it, once
            decoded, commitment = self._forward(x, self.levels())
            l1, mel = F.l1_loss(decoded, original), self.mel_loss(original, decoded)
            loss = l1 * weights.l1 + mel * weights.mel + commitment * weights.commitment
            self.codec.zero_grad()
            loss.backward()
            losses = {"loss": loss, "l1": l1, "mel": mel, "commitment": commitment}
            figures = {name: float(value) for name, value in losses.items()} | {"gradient": self._gradient_norm()}
        self._check(figures)

        self.optimizer.step()
        decay = np.float32(self.config.ema)
        for mean, p in zip(self.average.parameters(), self.codec.parameters(), strict=True):
            mean.data += (1 - decay) * (p.data - mean.data)
        self.step += 1
        return figures

    def levels(self) -> int:
        """How many codebooks the next step uses; 0 for none at all."""
        if self.step < self.config.warmup_steps:
            return 0
        quantizer, config = self.codec.quantizer, self.codec.config
        if quantizer.ready < quantizer.levels:  # k-means is still at work on them
            return quantizer.levels
        rng = np.random.default_rng([self.config.seed, self.step, BANDWIDTH])
        if rng.random() < self.config.unquantized:
            return 0
        return config.levels(rng.choice(config.bandwidths))

    def _forward(self, x: np.ndarray, levels: int) -> tuple[Tensor, Tensor]:
        """x (B,T,C) -> decoded (B,T,C), and the commitment loss."""
        scale = level(x) if self.codec.config.normalize else np.ones((len(x), 1, 1), np.float32)
        z, commitment = self.codec.encoder(Tensor(x / scale)), Tensor(0.0)
        if levels:
            rng = np.random.default_rng([self.config.seed, self.step, QUANTIZER])
            z, commitment, _ = self.codec.quantizer(z, levels, rng)
        decoded = self.codec.decoder(z)[:, : x.shape[1]]  # T may be no multiple of the hop
        return decoded * scale, commitment

    def _gradient_norm(self) -> float:
        squares = [float(np.vdot(p.grad, p.grad)) for p in self.codec.parameters() if p.grad is not None]
        return math.sqrt(sum(squares))

    def _check(self, figures: Mapping[str, float]) -> None:
        listing = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if not all(math.isfinite(value) for value in figures.values()):
            raise DivergedError(f"step {self.step + 1}: not a finite number among {listing}")
        usual = median(self._recent) if self._recent else figures["loss"]
        if figures["loss"] > EXPLODED * usual:
            raise DivergedError(f"step {self.step + 1}: the loss was about {usual:.4g} and has exploded: {listing}")
        self._recent.append(figures["loss"])

    def averaged_codec(self) -> Codec:
        """The codec with averaged weights. Codebooks are averages by themselves: it gets the newest."""
        for (_, own), (_, newest) in zip(self.average.named_buffers(), self.codec.named_buffers(), strict=True):
            if own.shape == newest.shape:  # not the vectors that wait for k-means
                own[...] = newest
        return self.average

    def state(self) -> dict[str, dict[str, Any]]:
        """All arrays that determine what follows, by group, for a checkpoint."""
        average = {name: p.data for name, p in self.average.named_parameters()}
        return {"model": self.codec.state_dict(), "average": average, "optimizer": self.optimizer.state_dict()}

    def restore(self, step: int, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `state` gave at a step. ValueError: it belongs to another model."""
        if state.keys() != self.state().keys():
            raise ValueError(f"it has the parts {', '.join(sorted(state))}")
        # As many vectors as happened to wait; every other array has the shape that the configuration gives it.
        self.codec.quantizer.waiting = np.zeros_like(state["model"]["quantizer.waiting"])
        self.codec.load_state_dict(state["model"])
        self.average.load_state_dict(self.average.state_dict() | dict(state["average"]))
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = step


def level(x: np.ndarray) -> np.ndarray:
    """The RMS (B,1,1) of crops (B,T,C) mixed to mono, by which a normalizing codec divides [Codec._encode_chunk]."""
    return np.sqrt((x.mean(axis=2, keepdims=True) ** 2).mean(axis=1, keepdims=True)) + np.float32(1e-8)
