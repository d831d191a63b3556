"""The balancer: weights that are shares of the gradient. Against torch: parity/test_adversary.py."""

import numpy as np
import pytest

from minicodec.tensor import Tensor, grad
from minicodec.training.balancer import Balancer


def losses_of(decoded, scale, rng):
    """Two losses with gradients of very different sizes."""
    target = rng.normal(size=decoded.shape)
    return {"near": ((decoded - target) ** 2).mean() * scale, "far": (decoded * target).sum()}


def test_a_loss_times_1000_changes_no_gradient():
    gradients = []
    for scale in (1.0, 1000.0):
        rng, balancer = np.random.default_rng(0), Balancer({"near": 1, "far": 3})
        for _ in range(5):
            decoded = Tensor(rng.normal(size=(2, 6, 1)), requires_grad=True)
            combined, _ = balancer(losses_of(decoded, scale, rng), decoded)
        gradients.append(combined)
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-6)


def test_shares_of_the_gradient_equal_the_weights(rng):
    """At the first step averages are exact: each loss contributes R·λ/Σλ, in the norm that is averaged."""
    for name, share in [("near", 0.25), ("far", 0.75)]:
        balancer = Balancer({"near": 1, "far": 3}, norm=2.0)
        decoded = Tensor(rng.normal(size=(2, 6, 1)), requires_grad=True)
        losses = losses_of(decoded, 7.0, rng)
        combined, _ = balancer(losses, decoded)
        other = next(iter(losses.keys() - {name}))
        (g,) = grad(losses[other], [decoded])
        rest = combined - 2.0 * (1 - share) * g / np.linalg.norm(g, axis=(1, 2)).mean()
        np.testing.assert_allclose(np.linalg.norm(rest, axis=(1, 2)).mean(), 2.0 * share, rtol=1e-5)


def test_without_balance_it_is_the_weighted_sum(rng):
    decoded = Tensor(rng.normal(size=(2, 6, 1)), requires_grad=True)
    losses = losses_of(decoded, 1.0, rng)
    combined, shares = Balancer({"near": 5, "far": 3}, balanced=False)(losses, decoded)
    (expected,) = grad(losses["near"] * 5.0 + losses["far"] * 3.0, [decoded])
    np.testing.assert_allclose(combined, expected, rtol=1e-12)
    np.testing.assert_allclose(sum(shares.values()), 1)


def test_balancer_goes_on_from_its_state(rng):
    one = Balancer({"near": 1, "far": 3})
    decoded = Tensor(rng.normal(size=(2, 6, 1)), requires_grad=True)
    for _ in range(3):
        one(losses_of(decoded, 1.0, rng), decoded)
    two = Balancer({"near": 1, "far": 3})
    two.load_state_dict(one.state_dict())
    losses = losses_of(decoded, 1.0, rng)
    np.testing.assert_array_equal(one(losses, decoded)[0], two(losses, decoded)[0])
    with pytest.raises(ValueError, match="other losses"):
        Balancer({"near": 1}).load_state_dict(one.state_dict())


@pytest.mark.parametrize("given", [["near"], ["near", "far"]])
def test_without_any_weight_there_are_no_shares(given, rng):
    """They would be 0/0. One that is not given leaves its weight out."""
    balancer, decoded = Balancer({"near": 0, "far": 0 if len(given) == 2 else 1}), Tensor(rng.normal(size=(2, 6, 1)))
    decoded.requires_grad = True
    losses = {name: loss for name, loss in losses_of(decoded, 1.0, rng).items() if name in given}
    with pytest.raises(ValueError, match=f"the weights of {', '.join(given)} are all 0"):
        balancer(losses, decoded)
    combined, shares = Balancer({"near": 0, "far": 0}, balanced=False)(losses, decoded)
    assert not combined.any()
    assert set(shares.values()) == {0}
