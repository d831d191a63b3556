"""A loss or a discriminator of your own in a training, from a Python script (chapters/book/examples/6_own_loss.py).

    def smoothness(x, decoded):                            # Tensors (B,T,C): the original, a constant, and the decoded
        return F.l1_loss(decoded[:, 1:] - decoded[:, :-1], x[:, 1:] - x[:, :-1])

    losses = {"smoothness": (2.0, smoothness)}             # name -> its weight, and what computes it, a scalar
    run = minicodec.training.run.start(Path("runs/smooth"), recipe, losses=losses)
    run.train()

Until the adversary takes part, the weight counts in the plain sum, beside those of LossConfig; then in the balancer,
beside those of AdversaryConfig. Names and weights are part of the checkpoint: `resume` has to be given the same, and
then goes on bit for bit, if the function has no state and draws no random numbers of its own.

With several ranks [ranks.py], a loss is computed of each rank's items, and the mean over the ranks is what counts. So
it should be a mean over the items of the batch, as all losses here are.

A discriminator is a Module that takes audio (B,T,C) and returns a `Judgement`, with the weights that it begins with.
It takes the place of the multi-scale STFT discriminator; everything else of the adversary is as AdversaryConfig says.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicodec.tensor import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]

TAKEN = ("loss", "l1", "mel", "commitment", "adversarial", "feature", "discriminator", "accuracy", "gradient", "lr")


class OwnLosses:
    """losses: name -> (weight, function). ValueError: a name that cannot be one, or is taken; a weight that is none."""

    def __init__(self, losses: Mapping[str, tuple[float, Loss]]):
        for name, (weight, _) in losses.items():
            if not name.isidentifier() or name in TAKEN:
                raise ValueError(f"loss {name!r}: choose another name, of letters; these are taken: {', '.join(TAKEN)}")
            if not 0 <= weight < math.inf:
                raise ValueError(f"loss {name}: its weight {weight} cannot be used")
        self.weights = {name: float(weight) for name, (weight, _) in losses.items()}
        self.functions = {name: function for name, (_, function) in losses.items()}

    def __call__(self, x: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """Audio x (B,T,C), a constant, and decoded (B,T,C) -> the losses by name. TypeError: one is no such thing."""
        values = {name: function(x, decoded) for name, function in self.functions.items()}
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.shape != () or not value.requires_grad:
                raise TypeError(
                    f"loss {name}: it must return a scalar Tensor computed from `decoded`, not {value!r:.50}"
                )
        return values

    def state_dict(self) -> dict[str, np.ndarray]:
        """The weights by name, for a checkpoint."""
        return {name: np.array(weight) for name, weight in self.weights.items()}

    def check_state(self, state: Mapping[str, Any]) -> None:
        """ValueError: a checkpoint is of a training with other losses."""
        theirs = {name: float(weight) for name, weight in state.items()}
        if theirs != self.weights:
            advice = "give minicodec.training.run.resume the same"
            raise ValueError(
                f"it was trained with own losses {_listing(theirs)}, not {_listing(self.weights)}; {advice}"
            )


def _listing(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name} (weight {weight:g})" for name, weight in weights.items()) or "(none)"
