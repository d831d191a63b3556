"""Training: what happens in one step, and the state it changes.

    x        = batch(step)                                 crops of the data, (B,T,C)
    z        = encoder(x)
    ẑ        = quantizer(z)                                not during the warm-up; a bandwidth drawn for each batch
    x̂        = decoder(ẑ)
    the discriminator learns to tell x from x̂             once the adversary takes part, and not in every step
    L_i      = l1(x, x̂), mel(x, x̂), and what the discriminator says: adversarial(x̂), feature(x, x̂)
    dx̂       = balance of the dL_i/dx̂                     before the adversary takes part: their weighted sum
    weights  = Adam(weights, what flows back from dx̂ and from λ commitment(z))
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
from minicodec.backend import xp
from minicodec.codec.model import Codec
from minicodec.device import module as array_module, read
from minicodec.errors import InputError
from minicodec.nn.optim import Adam
from minicodec.tensor import Tensor, grad
from minicodec.training.adversarial import Adversary
from minicodec.training.balancer import Balancer
from minicodec.training.config import RunConfig
from minicodec.training.feed import Feed
from minicodec.training.graph import Graphs, Kind
from minicodec.training.initial import initialise_codec
from minicodec.training.losses import MelLoss

# Streams of random numbers. Not 0: NumPy's seed sequences [s, n] and [s, n, 0] are the same, and [s, n] is the data's.
BANDWIDTH, QUANTIZER, ADVERSARY = 1, 2, 5
EXPLODED = 100  # times the median loss of the last steps
REMEMBERED = 100  # losses


class DivergedError(InputError):
    """The loss, or its gradient, is no finite number any more, or has exploded: its message is what has."""


class Trainer:
    """A codec in training, on a "cpu" or a "gpu". `step` counts the updates made.

    codec       the weights that are trained
    average     a second codec: the moving average of those weights, with the same codebooks
    """

    def __init__(self, run: RunConfig, device: str = "cpu"):
        self.config, self.array = run.training, array_module(device)
        self.codec = Codec(run.model, seed=self.config.seed)
        initialise_codec(self.codec)
        self.codec.to(device)
        self.average = Codec(run.model, seed=self.config.seed).to(device)
        self.average.load_state_dict(self.codec.state_dict())
        self.average.eval()
        self.optimizer = Adam(dict(self.codec.named_parameters()), lr=self.config.lr, betas=self.config.betas)
        loss, rival = self.config.loss, self.config.adversary
        self.warmup = Balancer({"l1": loss.l1, "mel": loss.warmup_mel}, balanced=False, device=device)
        self.plain = Balancer({"l1": loss.l1, "mel": loss.mel}, balanced=False, device=device)
        self.adversary = Adversary(rival, seed=self.config.seed, device=device) if rival.enabled else None
        weights = {name: getattr(rival, name) for name in ("l1", "mel", "adversarial", "feature")}
        self.balancer = Balancer(weights, decay=rival.decay, balanced=rival.balanced, device=device)
        self.mel_loss = MelLoss(run.model.sample_rate, self.config.loss.mel_windows, device)
        self.step = 0
        self.feed = None if self.array is np else Feed(self.array)
        self.graphs = Graphs(self) if self.array is not np and self.config.graphs else None
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    @np.errstate(over="ignore", invalid="ignore")  # no warnings: _check says it, once
    def update(self, x: np.ndarray) -> dict[str, Any]:
        """One step on crops x (B,T,C) float32 -> the losses, their shares in dx̂, and the gradient's norm.

        "loss" is the weighted sum of l1 and mel, whether or not it is what the step went by.
        DivergedError: they cannot be used; then no weight has changed.

        On a GPU they are arrays of one number that nobody has looked at, for the step may still be under way: whoever
        reads them [device.read] has to `check` them.
        """
        self.optimizer.lr = self.config.lr * self.lr_factor()
        if self.adversary is not None:
            self.adversary.optimizer.lr = self.config.adversary.lr * self.lr_factor()
        kind, original = self._kind(x.shape), x if self.feed is None else self.feed(x)
        return self.graphs.step(original, kind) if self.graphs else self.make(Tensor(original), kind)

    def make(self, original: Tensor, kind: Kind) -> dict[str, Any]:
        """The step itself, on crops (B,T,C) -> what `update` gives.

        All that Python computes here and hands to the device must follow from `kind`, or go by way of `cuda.send` and
        be in `advance`: on a GPU, only the launches are made again in the next step of this kind [training/graph.py].
        """
        decoded, commitment = self._forward(original.data, kind.levels)
        losses = {"l1": F.l1_loss(decoded, original), "mel": self.mel_loss(original, decoded)}
        figures: dict[str, Any] = {}
        balancer = self.warmup if kind.warms_up else self.plain
        if self.adversary is not None and kind.learns:
            figures |= self.adversary.learn(original, decoded)
        if self.adversary is not None and kind.judges:
            losses |= self.adversary.losses(original, decoded)
            balancer = self.balancer

        # Each loss needs only the way from itself to x̂. From there on, all go back through the networks together.
        d_decoded, shares = balancer(losses, decoded)
        surrogate = (decoded * d_decoded).sum() + commitment * self.config.loss.commitment
        parameters = self.codec.parameters()
        for p, g in zip(parameters, grad(surrogate, parameters), strict=True):
            p.grad = g

        weighted = losses["l1"] * self.config.loss.l1 + losses["mel"] * self.config.loss.mel
        named = {"loss": weighted} | losses | {"commitment": commitment}
        figures = {name: value.data for name, value in named.items()} | figures
        figures |= {"gradient": self._gradient_norm()} | {f"share.{name}": share for name, share in shares.items()}
        if self.array is np:
            (figures,) = read([figures])
            self.check(self.step + 1, figures)

        self.optimizer.step()
        decay = np.float32(self.config.ema)
        for mean, p in zip(self.average.parameters(), self.codec.parameters(), strict=True):
            mean.data += (1 - decay) * (p.data - mean.data)
        self.step += 1
        return figures

    def _kind(self, shape: tuple[int, ...]) -> Kind:
        """What the next step consists of."""
        levels, rival = self.levels(), self.config.adversary
        rng = np.random.default_rng([self.config.seed, self.step, ADVERSARY])
        learns = self.step >= rival.start - rival.learns_before and rng.random() < rival.probability
        return Kind(
            shape=shape,
            levels=levels,
            warms_up=self.step < self.config.warmup_steps,
            learns=rival.enabled and learns,
            judges=rival.enabled and self.step >= rival.start,
            routine=self.codec.quantizer.routine(levels),
        )

    def advance(self, kind: Kind) -> None:
        """What of a routine step is Python's business: its counts, and numbers for the device that follow from them.

        With it, and the same launches once more, the next step of this kind is made.
        """
        if self.adversary is not None and kind.learns:
            self.adversary.optimizer.advance(list(self.adversary.optimizer.parameters))
        self.optimizer.advance(list(self.optimizer.parameters))
        self.codec.quantizer.updates[: kind.levels] += 1
        self.step += 1

    def notices(self) -> list[str]:
        """What there is to say since the last time: why there are no graphs, if there are none."""
        said = self.graphs.notices if self.graphs else []
        if self.graphs:
            self.graphs.notices = []
        return said

    def lr_factor(self) -> float:
        """What the next step's learning rates are multiplied by: 1, until in the last steps it falls to 0.

        Adam's steps are as long as its learning rate, so at a constant one the weights never settle: they keep
        wandering around what they have found. The fall is 1 - sqrt(share of it that is over) [Hagele24, §3].
        """
        remaining, cooldown = self.config.steps - self.step, self.config.cooldown * self.config.steps
        return 1.0 if remaining >= cooldown else 1 - math.sqrt(1 - max(remaining, 0) / cooldown)

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

    def _forward(self, x: Any, levels: int) -> tuple[Tensor, Tensor]:
        """x (B,T,C) -> decoded (B,T,C), and the commitment loss."""
        scale = level(x) if self.codec.config.normalize else self.array.ones((len(x), 1, 1), np.float32)
        z, commitment = self.codec.encoder(Tensor(x / scale)), Tensor(self.array.zeros((), np.float32))
        if levels:
            rng = np.random.default_rng([self.config.seed, self.step, QUANTIZER])
            z, commitment, _ = self.codec.quantizer(z, levels, rng)
        decoded = self.codec.decoder(z)[:, : x.shape[1]]  # T may be no multiple of the hop
        return decoded * scale, commitment

    def _gradient_norm(self) -> Any:
        parameters = self.codec.parameters()
        squares = self.array.empty(len(parameters), np.float32)
        for i, p in enumerate(parameters):  # CuPy's `stack` would send a table of addresses to the GPU
            squares[i] = self.array.vdot(p.grad, p.grad)
        return self.array.sqrt(squares.sum(dtype=np.float64))

    def check(self, step: int, figures: Mapping[str, float]) -> None:
        """DivergedError if the figures of this step, as floats, cannot be those of a training that goes well."""
        listing = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if not all(math.isfinite(value) for value in figures.values()):
            raise DivergedError(f"step {step}: not a finite number among {listing}")
        usual = median(self._recent) if self._recent else figures["loss"]
        if figures["loss"] > EXPLODED * usual:
            raise DivergedError(f"step {step}: the loss was about {usual:.4g} and has exploded: {listing}")
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
        state = {"model": self.codec.state_dict(), "average": average, "optimizer": self.optimizer.state_dict()}
        if self.adversary is not None:
            state |= {"adversary": self.adversary.state_dict(), "balancer": self.balancer.state_dict()}
        return state

    def restore(self, step: int, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `state` gave at a step. ValueError: it belongs to another model or recipe."""
        if state.keys() != self.state().keys():
            raise ValueError(f"it has the parts {', '.join(sorted(state))}")
        self.branch(step, state)
        if self.adversary is not None:
            self.adversary.load_state_dict(state["adversary"])
            self.balancer.load_state_dict(state["balancer"])

    def branch(self, step: int, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over the codec of another recipe's run; an adversary starts anew. ValueError: it is another model."""
        # As many vectors as happened to wait; every other array has the shape that the configuration gives it.
        self.codec.quantizer.waiting = self.array.zeros(state["model"]["quantizer.waiting"].shape, np.float32)
        self.codec.load_state_dict(state["model"])
        self.average.load_state_dict(self.average.state_dict() | dict(state["average"]))
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = step


def level(x: Any) -> Any:
    """The RMS (B,1,1) of crops (B,T,C) mixed to mono, by which a normalizing codec divides [Codec._encode_chunk]."""
    return xp(x).sqrt((x.mean(axis=2, keepdims=True) ** 2).mean(axis=1, keepdims=True)) + np.float32(1e-8)
