"""The losses of the two players [Defossez22, §3.4]. Each is a mean over the discriminator's scales.

    discriminator        E[max(0, 1 - D(x))] + E[max(0, 1 + D(x̂))]      says > 1 to recordings, < -1 to decodings
    generator            E[max(0, 1 - D(x̂))]                            wants to hear > 1 as well
    feature matching     mean over feature maps of  E|D_l(x) - D_l(x̂)| / E|D_l(x)|

Without the division in feature matching (AudioCraft's form), its size follows that of the discriminator's features,
which nothing bounds.
"""

from minicodec import functional as F
from minicodec.tensor import Tensor


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
    real: list[list[Tensor]], fake: list[list[Tensor]], normalized: bool = True
) -> Tensor:
    """Feature maps of recordings (constants) and of decodings, a list for each scale -> a scalar."""
    losses = []
    for real_maps, fake_maps in zip(real, fake, strict=True):
        for r, f in zip(real_maps, fake_maps, strict=True):
            distance = F.l1_loss(f, r)
            losses.append(distance / abs(r.data).mean() if normalized else distance)
    return _mean(losses)


def _mean(losses: list[Tensor]) -> Tensor:
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss
    return total / len(losses)
