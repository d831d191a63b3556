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
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from minicodec.backend import xp
from minicodec.codec.model import Codec
from minicodec.device import module as array_module, read
from minicodec.errors import InputError
from minicodec.nn.module import Module
from minicodec.nn.optim import Adam
from minicodec.ranks import ALONE, Ranks
from minicodec.tensor import Tensor, grad
from minicodec.training.adversarial import Adversary
from minicodec.training.balancer import Balancer
from minicodec.training.checkpoint import check_fit
from minicodec.training.config import RunConfig
from minicodec.training.initial import initialise_codec
from minicodec.training.learning_rate import cooldown
from minicodec.training.losses import MelLoss, WaveformLoss
from minicodec.training.own import Loss, OwnLosses
from minicodec.training.transform_start import start_transform

# Streams of random numbers. Not 0: NumPy's seed sequences [s, n] and [s, n, 0] are the same, and [s, n] is the data's.
BANDWIDTH, QUANTIZER, ADVERSARY, MEL, START, FRAME = 1, 2, 5, 6, 7, 8
EXPLODED = 100  # times the median loss of the last steps
REMEMBERED = 100  # losses
FRAMES = 1 << 20  # of a recording of some hours


class DivergedError(InputError):
    """The loss, or its gradient, is no finite number any more, or has exploded: its message is what has."""


class Trainer:
    """A codec in training, on a "cpu" or a "gpu". `step` counts the updates made.

    codec       the weights that are trained
    average     a second codec: the moving average of those weights, with the same codebooks

    losses, discriminator     of your own [training/own.py]
    ranks                     who trains together: every one has such a trainer, and all of them stay alike
    """

    def __init__(
        self,
        run: RunConfig,
        device: str = "cpu",
        *,
        losses: Mapping[str, tuple[float, Loss]] | None = None,
        discriminator: Module | None = None,
        ranks: Ranks = ALONE,
    ):
        self.ranks = ranks
        self.config, self.array, self.own = run.training, array_module(device), OwnLosses(losses or {})
        self.codec = Codec(run.model, seed=self.config.seed)
        initialise_codec(self.codec)
        self.codec.to(device)
        self.average = Codec(run.model, seed=self.config.seed).to(device)
        self.average.load_state_dict(self.codec.state_dict())
        self.average.eval()
        self.optimizer = Adam(dict(self.codec.named_parameters()), lr=self.config.lr, betas=self.config.betas)
        loss, rival = self.config.loss, self.config.adversary
        own = self.own.weights
        self.warmup = Balancer({"l1": loss.l1, "mel": loss.warmup_mel} | own, balanced=False)
        self.plain = Balancer({"l1": loss.l1, "mel": loss.mel} | own, balanced=False)
        if discriminator is not None and not rival.enabled:
            raise ValueError("a discriminator takes part if adversary.enabled is true")
        self.adversary = None
        if rival.enabled:
            self.adversary = Adversary(
                rival, seed=self.config.seed, device=device, discriminator=discriminator, ranks=ranks
            )
        weights = {name: getattr(rival, name) for name in ("l1", "mel", "adversarial", "feature")} | own
        self.balancer = Balancer(weights, decay=rival.decay, balanced=rival.balanced)
        self.mel_loss = MelLoss(
            run.model.sample_rate,
            loss.mel_windows,
            device,
            kind=loss.mel_kind,
            floor=loss.mel_floor,
            relative=loss.mel_relative,
            level=loss.mel_level,
        )
        self.waveform_loss = WaveformLoss(run.model.sample_rate, loss.l1_below, loss.l1_above, device)
        self.step = 0
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    def start_from(self, crops: np.ndarray) -> None:
        """Start a transform codec from crops (B,T,C) of the training data."""
        rng = np.random.default_rng([self.config.seed, 0, START])
        start_transform(self.codec, self.array.asarray(crops), self.config.batch, rng)
        self.average.load_state_dict(self.codec.state_dict())

    @np.errstate(over="ignore", invalid="ignore")  # no warnings: `check` says it, once
    def update(self, batch: np.ndarray) -> dict[str, Any]:
        """One step on crops (B,T,C) float32 -> the losses, their shares in dx̂, the gradient's norm, the learning rate.

        With several ranks, the crops are this one's, and the figures those of all.

        "loss" is the weighted sum of l1, mel and own losses, whether or not it is what the step went by.
        DivergedError: they cannot be used; then no weight has changed.

        On a GPU they are arrays of one number that nobody has looked at, for the step may still be under way: whoever
        reads them [device.read] has to `check` them.
        """
        config, codec, adversary, ranks = self.config, self.codec, self.adversary, self.ranks

        x = Tensor(self.array.asarray(batch))
        scale = level(x.data) if codec.config.normalize else 1
        z = codec.encoder(Tensor(x.data / scale))
        z, commitment, _ = codec.quantizer(z, self.levels(), self._rng(QUANTIZER), ranks)
        decoded = codec.decoder(z, self.first_frame())[:, : x.shape[1]] * scale  # T may be no multiple of the hop

        figures: dict[str, Any] = {}
        if adversary is not None and self._discriminator_learns():
            adversary.optimizer.lr = cooldown(config.adversary.lr, self.step, config.steps, config.cooldown)
            figures |= adversary.learn(x, decoded)

        losses = {"l1": self.waveform_loss(x, decoded), "mel": self.mel_loss(x, decoded, self.mel_windows())}
        losses |= (own := self.own(x, decoded))
        balancer = self.warmup if self.step < config.warmup_steps else self.plain
        if adversary is not None and self.step >= config.adversary.start:
            losses |= adversary.losses(x, decoded)
            balancer = self.balancer
        losses = {name: ranks.share(loss) for name, loss in losses.items()}

        # Each loss needs only the way from itself to x̂. From there on, all go back through the networks together.
        d_decoded, shares = balancer(losses, decoded, ranks)
        surrogate = (decoded * d_decoded).sum() + commitment * config.loss.commitment
        parameters = codec.parameters()
        gradients = ranks.sum(grad(surrogate, parameters))
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        self.optimizer.lr = cooldown(config.lr, self.step, config.steps, config.cooldown)

        weighted = losses["l1"] * config.loss.l1 + losses["mel"] * config.loss.mel
        for name in own:
            weighted = weighted + losses[name] * self.own.weights[name]
        named = {"loss": weighted} | losses | {"commitment": commitment}
        figures = ranks.total({name: value.data for name, value in named.items()} | figures)
        figures |= {f"share.{name}": share for name, share in shares.items()}
        figures |= {"gradient": euclidean_norm(gradients), "lr": self.optimizer.lr}
        if self.array is np:
            (figures,) = read([figures])
            self.check(self.step + 1, figures)

        self.optimizer.step()
        share = np.float32(self.ema_share())
        for mean, p in zip(self.average.parameters(), parameters, strict=True):
            mean.data += share * (p.data - mean.data)
        self.step += 1
        return figures

    def ema_share(self) -> float:
        """The share of the newest weights in their average."""
        past = self.config.ema ** (self.step + 1) if self.config.ema_corrected else 0.0
        return (1 - self.config.ema) / (1 - past)

    def mel_windows(self) -> list[int]:
        """The windows that the next step draws for its mel loss; empty if it computes all."""
        loss = self.config.loss
        return [int(w) for w in self._rng(MEL).choice(loss.mel_windows, loss.mel_drawn, replace=False)]

    def levels(self) -> int | tuple[int, ...]:
        """How many codebooks the next step uses, all items or each; 0 for none at all."""
        if self.step < self.config.warmup_steps:
            return 0
        quantizer, config = self.codec.quantizer, self.codec.config
        if quantizer.ready < quantizer.levels:  # k-means is still at work on them
            return quantizer.levels
        rng = self._rng(BANDWIDTH)
        if rng.random() < self.config.unquantized:
            return 0
        rates = self.config.rates or config.bandwidths
        if self.config.rate_per_item:
            return tuple(config.levels(rate) for rate in rng.choice(rates, self.config.batch))
        return config.levels(rng.choice(rates))

    def first_frame(self) -> int:
        """Where in a recording the next step's crops lie.

        If all began at frame 0, a decoder with random signs would learn those of its first second by heart.
        """
        return int(self._rng(FRAME).integers(FRAMES))

    def _discriminator_learns(self) -> bool:
        """Does it in the next step? It learns more easily than the decoder, so not in every one."""
        rival = self.config.adversary
        return self.step >= rival.start - rival.learns_before and self._rng(ADVERSARY).random() < rival.probability

    def _rng(self, stream: int) -> np.random.Generator:
        """The next step's random numbers, for one purpose."""
        return np.random.default_rng([self.config.seed, self.step, stream])

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
        if self.own.weights:
            state["own"] = self.own.state_dict()
        return state

    def take_over(self, model: Codec) -> None:
        """Start with the weights and codebooks of a model. ValueError: it is another model."""
        for codec in (self.codec, self.average):
            codec.load_state_dict(model.state_dict())

    def restore(self, step: int, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over what `state` gave at a step. ValueError: it belongs to another model, recipe or own losses."""
        self.own.check_state(state.get("own", {}))
        if state.keys() != self.state().keys():
            raise ValueError(f"it has the parts {', '.join(sorted(state))}")
        self.branch(step, state)
        if self.adversary is not None:
            self.adversary.load_state_dict(state["adversary"])
            self.balancer.load_state_dict(state["balancer"])

    def branch(self, step: int, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over the codec of another recipe's run; an adversary starts anew. ValueError: it is another model."""
        check_fit({group: self.state()[group] for group in ("model", "average", "optimizer")}, state)
        self.codec.quantizer.waiting = self.array.zeros(state["model"]["quantizer.waiting"].shape, np.float32)
        self.codec.load_state_dict(state["model"])
        self.average.load_state_dict(self.average.state_dict() | dict(state["average"]))
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = step


def euclidean_norm(arrays: Sequence[Any]) -> Any:
    """The norm of all arrays together, an array of one number."""
    array = xp(*arrays)
    return array.sqrt(array.stack([array.vdot(a, a) for a in arrays]).sum(dtype=np.float64))


def level(x: Any) -> Any:
    """The RMS (B,1,1) of crops (B,T,C) mixed to mono, by which a normalizing codec divides [Codec._encode_chunk]."""
    return xp(x).sqrt((x.mean(axis=2, keepdims=True) ** 2).mean(axis=1, keepdims=True)) + np.float32(1e-8)
