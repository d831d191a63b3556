"""The losses of the two players [Defossez22, §3.4]. Each is a mean over the discriminator's scales.

    discriminator        E[max(0, 1 - D(x))] + E[max(0, 1 + D(x̂))]      says > 1 to recordings, < -1 to decodings
    generator            E[max(0, 1 - D(x̂))]                            wants to hear > 1 as well
    feature matching     mean over feature maps of  E|D_l(x) - D_l(x̂)| / E|D_l(x)|

Without the division in feature matching (AudioCraft's form), its size follows that of the discriminator's features,
which nothing bounds.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.backend import xp
from minicodec.nn.module import Module
from minicodec.nn.optim import Adam
from minicodec.ranks import ALONE, Ranks
from minicodec.tensor import Tensor, grad, no_grad
from minicodec.training.config import AdversaryConfig
from minicodec.training.discriminator import Judgement, MultiScaleSTFTDiscriminator
from minicodec.training.initial import initialise_discriminator

TINY = np.float32(1e-12)
INITIAL_WEIGHTS = 4  # stream of random numbers, beside those of `trainer`


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Logits of recordings and of decodings, one Tensor a scale -> the hinge loss, a scalar."""
    losses = [F.clamp_min(1 - r, 0).mean() + F.clamp_min(1 + f, 0).mean() for r, f in zip(real, fake, strict=True)]
    return _mean(losses)


def generator_loss(fake: list[Tensor], kind: str = "hinge") -> Tensor:
    """Logits of decodings -> the generator's loss: "hinge" as in the paper, or "linear", -E[D(x̂)], as in AudioCraft."""
    if kind == "hinge":
        return _mean([F.clamp_min(1 - f, 0).mean() for f in fake])
    if kind == "linear":
        return _mean([-f.mean() for f in fake])
    raise ValueError(f"generator loss {kind!r}: choose hinge or linear")


def feature_matching_loss(
    real: list[list[Tensor]], fake: list[list[Tensor]], normalized: bool = True, ranks: Ranks = ALONE
) -> Tensor:
    """Feature maps of recordings (constants) and of decodings, a list for each scale -> a scalar.

    With several ranks: of this one's items, but relative to the features' size in the whole batch.
    """
    real_maps = [r for maps in real for r in maps]
    fake_maps = [f for maps in fake for f in maps]
    losses = [F.l1_loss(f, r) for r, f in zip(real_maps, fake_maps, strict=True)]
    if normalized:
        sizes = ranks.sum([ranks.share(abs(r.data).mean()) for r in real_maps])
        # The least size is for silence, in which an untrained network sees nothing.
        losses = [loss / xp(size).maximum(size, TINY) for loss, size in zip(losses, sizes, strict=True)]
    return _mean(losses)


def _mean(losses: list[Tensor]) -> Tensor:
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total / len(losses)


class Adversary:
    """The discriminator in training, and what it tells the generator."""

    def __init__(
        self,
        config: AdversaryConfig,
        *,
        seed: int,
        device: str = "cpu",
        discriminator: Module | None = None,
        ranks: Ranks = ALONE,
    ):
        self.config, self.ranks = config, ranks
        if discriminator is None:
            rng = np.random.default_rng([seed, INITIAL_WEIGHTS])
            discriminator = MultiScaleSTFTDiscriminator(config.windows, config.filters, config.slope, rng=rng)
            initialise_discriminator(discriminator, config.slope)
        self.discriminator: Any = discriminator.to(device)
        named = dict(self.discriminator.named_parameters())
        self.optimizer = Adam(named, lr=config.lr, betas=config.betas)

    def learn(self, original: Tensor, decoded: Tensor) -> dict[str, Any]:
        """One update of the discriminator on recordings and decodings (B,T,C) -> its loss, and how often it is right,
        as arrays of one number: with several ranks, this one's shares.

        Its accuracy is the share of patches of recordings with logits > 0 and of decodings with logits < 0.
        """
        real, fake = self.judge(original).logits, self.judge(decoded.detach()).logits
        loss = self.ranks.share(discriminator_loss(real, fake))
        parameters = self.discriminator.parameters()
        for p, g in zip(parameters, self.ranks.sum(grad(loss, parameters)), strict=True):
            p.grad = g
        self.optimizer.step()
        return {"discriminator": loss.data, "accuracy": self.ranks.share(accuracy(real, fake))}

    def losses(self, original: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """What the generator is to minimise: {"adversarial": ..., "feature": ...}, for this rank's items."""
        with no_grad():
            real = self.judge(original)
        fake = self.judge(decoded)
        return {
            "adversarial": generator_loss(fake.logits, self.config.kind),
            "feature": feature_matching_loss(real.features, fake.features, self.config.normalized, self.ranks),
        }

    def accuracy(self, original: Tensor, decoded: Tensor) -> float:
        """The discriminator's, on recordings and decodings (B,T,C)."""
        with no_grad():
            return float(accuracy(self.judge(original).logits, self.judge(decoded).logits))

    def judge(self, audio: Tensor) -> Judgement:
        """What the discriminator says to audio (B,T,C). TypeError: one of somebody's own, which says something else."""
        judgement = self.discriminator(audio)
        if not isinstance(judgement, Judgement):
            raise TypeError(f"a discriminator must return a Judgement(logits, features), not {judgement!r:.50}")
        return judgement

    def state_dict(self) -> dict[str, Any]:
        """Arrays to save: those of the discriminator, and of its optimiser under optimizer.NAME."""
        optimizer = {f"optimizer.{name}": array for name, array in self.optimizer.state_dict().items()}
        return self.discriminator.state_dict() | optimizer

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError when it belongs to another discriminator."""
        prefix = "optimizer."
        self.optimizer.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        self.discriminator.load_state_dict({k: v for k, v in state.items() if not k.startswith(prefix)})


def accuracy(real: list[Tensor], fake: list[Tensor]) -> Any:
    """Share of patches that the discriminator judges rightly, a mean over both kinds and all scales."""
    right = [(r.data > 0).mean() / 2 + (f.data < 0).mean() / 2 for r, f in zip(real, fake, strict=True)]
    return sum(right) / len(right)
