"""The discriminator and the losses of the two players, by hand. Against torch: parity/test_adversary.py."""

import numpy as np

from minicodec.tensor import Tensor, grad
from minicodec.training.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from minicodec.training.discriminator import MultiScaleSTFTDiscriminator


def test_published_size():
    """94,466 parameters a scale at 32 filters."""
    ours = MultiScaleSTFTDiscriminator(rng=np.random.default_rng(0))
    assert [sum(p.data.size for p in scale.parameters()) for scale in ours.scales] == [94_466] * 5


def test_losses_by_hand():
    real, fake = [Tensor([3.0, 0.5]), Tensor([-1.0])], [Tensor([-3.0, 0.0]), Tensor([1.0])]
    assert float(discriminator_loss(real, fake)) == ((0 + 0.5) / 2 + (0 + 1) / 2 + 2 + 2) / 2
    assert float(generator_loss(fake)) == ((4 + 1) / 2 + 0) / 2
    assert float(generator_loss(fake, "linear")) == (1.5 - 1) / 2
    maps = [[Tensor([1.0, -3.0]), Tensor([10.0])]], [[Tensor([2.0, -3.0]), Tensor([6.0])]]
    np.testing.assert_allclose(feature_matching_loss(*maps).data, (0.5 / 2 + 4 / 10) / 2, rtol=1e-6)
    assert float(feature_matching_loss(*maps, normalized=False)) == (0.5 + 4) / 2


def test_a_frozen_discriminator_passes_gradients_on_but_keeps_none():
    ours = MultiScaleSTFTDiscriminator((256, 64), 4, rng=np.random.default_rng(0))
    x = Tensor(np.random.default_rng(0).normal(size=(1, 500, 1)).astype(np.float32), requires_grad=True)
    (dx,) = grad(generator_loss(ours(x).logits), [x])
    assert np.abs(dx).max() > 0
    assert all(p.grad is None for p in ours.parameters())


def test_silence_has_features_that_can_be_matched():
    """While biases are 0, so are the features of silence, by whose size the distance is divided."""
    ours = MultiScaleSTFTDiscriminator((256, 64), 4, rng=np.random.default_rng(0))
    for module in ours.modules():
        if hasattr(module, "bias"):
            module.bias.data[...] = 0
    silence = ours(Tensor(np.zeros((1, 500, 1), np.float32))).features
    assert float(feature_matching_loss(silence, silence)) == 0
