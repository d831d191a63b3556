"""The loss balancer: weights that mean what they say [Defossez22, §3.4].

In a weighted sum Σ λ_i L_i, the weight of a loss says little: a loss with large gradients rules whatever its λ. But all
losses here see the decoder only through its output x̂. So take the gradient of each loss with respect to x̂,

    g_i = dL_i/dx̂,

divide it by its usual size, a moving average of ‖g_i‖, and add them up with their weights:

    dx̂ = Σ_i  R · λ_i / Σλ · g_i / <‖g_i‖>

Now λ_i / Σλ IS the share of loss i in the gradient that the decoder receives. Multiplying a loss by 1000 changes
nothing. What flows back from x̂ into the networks is this dx̂, in one sweep for all losses together.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicodec.backend import xp
from minicodec.device import host
from minicodec.ranks import ALONE, Ranks
from minicodec.tensor import Tensor, grad

EPSILON = 1e-12


class Balancer:
    """Combines losses by their shares. weights: name -> λ; `norm` is R, the size of the combined gradient.

    The average of n_1 ... n_t is Σ decay^(t-s) n_s / Σ decay^(t-s): unbiased from the first step on. A loss that is not
    given at a step has no part in it, and its average waits. With balanced=False the result is the gradient of the
    plain weighted sum, to compare with.
    """

    def __init__(self, weights: Mapping[str, float], *, norm: float = 1.0, decay: float = 0.999, balanced: bool = True):
        self.weights, self.norm, self.decay, self.balanced = dict(weights), norm, decay, balanced
        self.totals: dict[str, Any] = dict.fromkeys(weights, 0.0)  # numbers of the device on which the losses are
        self.counts = dict.fromkeys(weights, 0.0)

    def __call__(
        self, losses: Mapping[str, Tensor], decoded: Tensor, ranks: Ranks = ALONE
    ) -> tuple[Any, dict[str, Any]]:
        """Losses computed from `decoded` (B,T,C) -> the gradient to send back from it, and each loss's share in it.

        Sizes of gradients, ‖g‖, are means over the batch of each item's Euclidean norm; a share is the size of what a
        loss contributes, over the sum of these. With several ranks, losses are shares, and sizes means over the whole
        batch. KeyError: a loss without weight. ValueError: all weights are 0, so
        there are no shares.
        """
        total_weight = sum(self.weights[name] for name in losses)
        if self.balanced and not total_weight > 0:
            raise ValueError(f"the weights of {', '.join(losses)} are all 0, so none can have a share of the gradient")
        gradients = [grad(loss, [decoded])[0] for loss in losses.values()]
        norms = ranks.sum([ranks.share(mean_norm(g)) for g in gradients])
        combined, sizes = xp(decoded.data).zeros_like(decoded.data), {}
        for name, g, size in zip(losses, gradients, norms, strict=True):
            self.totals[name] = self.totals[name] * self.decay + size
            self.counts[name] = self.counts[name] * self.decay + 1
            factor = self.weights[name]
            if self.balanced:
                average = self.totals[name] / self.counts[name]
                factor = (factor * (self.norm / (total_weight * (average + EPSILON)))).astype(g.dtype)
            combined += g * factor
            sizes[name] = size * factor
        total_size = sum(sizes.values()) + EPSILON
        return combined, {name: size / total_size for name, size in sizes.items()}

    def state_dict(self) -> dict[str, Any]:
        """totals.NAME and counts.NAME."""
        arrays = {f"totals.{name}": host(value) for name, value in self.totals.items()}
        return arrays | {f"counts.{name}": np.asarray(value) for name, value in self.counts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError when it has other losses."""
        if state.keys() != self.state_dict().keys():
            raise ValueError(f"the balancer's state is of other losses: {', '.join(sorted(state))}")
        for name in self.weights:
            self.totals[name], self.counts[name] = float(state[f"totals.{name}"]), float(state[f"counts.{name}"])


def mean_norm(g: Any) -> Any:
    """g (B,...) -> the mean over the batch of the items' Euclidean norms, in float64."""
    return xp(g).sqrt((g * g).reshape(len(g), -1).sum(axis=1)).mean().astype(np.float64)
