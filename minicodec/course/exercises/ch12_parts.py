"""Chapter 12, for my_codec: the balancer as a class."""

import numpy as np

from minicodec.course.calling import variable
from minicodec.course.catalogue import of_part
from minicodec.course.my_codec.losses import l1_loss
from minicodec.course.my_codec.tensor import Tensor


def _square(x, target):
    difference = x.data - target
    return Tensor((difference**2).mean(), (x,), lambda dl: (dl * 2 * difference / difference.size,))


def _balanced(part, weights, decay, decoded, targets):
    balancer, results = part(weights, decay), []
    for target in targets:
        heard = variable(decoded)
        losses = {"other": l1_loss(heard, target) * 7.0, "l1": _square(heard, target)}
        losses["loud"] = _square(heard, -target) * 1000.0
        results.append(balancer({name: losses[name] for name in reversed(list(weights))}, heard))
    return *results, np.array(balancer.totals), np.array(balancer.counts)


def _losses(rng, fresh):
    shape = (2, 5 + int(fresh), 1)
    for weights, decay in [({"l1": 1.0, "loud": 3.0}, 0.9), ({"l1": 2.0, "other": 0.5, "loud": 1.0}, 0.5)]:
        yield weights, decay, rng.normal(size=shape), [rng.normal(size=shape) for _ in range(2)]


EXERCISES = [
    of_part(
        "Balancer", 12, _losses, _balanced, points=2, returned=("dx", "dx of the second step", "totals", "counts"), rtol=1e-5,
        slips=[
            ("for name in self.weights]", "for name in losses]", "losses come in any order: go through the names of the weights"),
            ("self.totals, self.counts, averages = running", "_, _, averages = running", "totals and counts are not kept for the next step"),
            ("return balance(each, averages,", "return balance(each, sizes,", "divide by the running averages, not by this step's sizes"),
            ("np.array(list(self.weights.values())), 1.0", "np.array(list(self.weights.values())), 2.0", "the norm is 1"),
            ("np.array(list(self.weights.values()))", "np.ones(len(self.weights))", "the weights are left out: all losses have equal shares"),
        ],
        hint="gradients(loss, [decoded])[0] for each loss; gradient_size, running_average, balance.",
    ),
]  # fmt: skip
