"""The discriminator against the `encodec` package's class; its losses and the balancer against torch."""

import numpy as np
import pytest

from minicodec.tensor import Tensor, grad
from minicodec.training.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from minicodec.training.balancer import Balancer
from minicodec.training.discriminator import N_FFTS, MultiScaleSTFTDiscriminator

torch = pytest.importorskip("torch")
pytest.importorskip("encodec")
from encodec.msstftd import MultiScaleSTFTDiscriminator as Theirs  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")  # the peer's business


def with_their_weights(theirs, n_ffts, filters):
    ours = MultiScaleSTFTDiscriminator(n_ffts, filters, rng=np.random.default_rng(0))
    state = {}
    for key, p in theirs.state_dict().items():
        name = key.replace("discriminators.", "scales.").replace(".conv.", ".")
        state[name] = p.numpy() if p.ndim == 1 else p.numpy().transpose(2, 3, 1, 0)
    ours.load_state_dict(state)
    return ours


def pair(filters=4, n_ffts=(256, 64)):
    torch.manual_seed(0)
    theirs = Theirs(filters, n_ffts=n_ffts, hop_lengths=[n // 4 for n in n_ffts], win_lengths=n_ffts)
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.05 * torch.randn_like(p)
    return with_their_weights(theirs, n_ffts, filters), theirs


def assert_close(got, expected, tolerance=1e-4):
    expected = expected.detach().numpy()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


def test_published_size():
    """94,466 parameters a scale at 32 filters, as ours has [test_adversarial.py]."""
    theirs = Theirs(32, n_ffts=N_FFTS, hop_lengths=[n // 4 for n in N_FFTS], win_lengths=N_FFTS)
    assert sum(p.numel() for p in theirs.parameters()) == 5 * 94_466


@pytest.mark.parametrize("channels", [1, 2])
def test_discriminator(channels):
    """Logits, feature maps, gradients of the input and of every weight, all at once through random cotangents."""
    ours, theirs = pair()
    x = torch.randn(2, channels, 1000, requires_grad=True)
    logits, features = theirs(x.reshape(2 * channels, 1, 1000))
    everything = [*logits, *(f for scale in features for f in scale)]
    assert [len(scale) for scale in features] == [5, 5]
    cotangents = [torch.randn_like(y) for y in everything]
    sum((y * dy).sum() for y, dy in zip(everything, cotangents, strict=True)).backward()

    ours_x = Tensor(np.ascontiguousarray(x.detach().numpy().transpose(0, 2, 1)), requires_grad=True)
    judgement = ours(ours_x)
    results = [*judgement.logits, *(f for scale in judgement.features for f in scale)]
    loss = Tensor(0.0)
    for y, expected, dy in zip(results, everything, cotangents, strict=True):
        assert_close(y.data.transpose(0, 3, 1, 2), expected)
        loss = loss + (y * np.ascontiguousarray(dy.numpy().transpose(0, 2, 3, 1))).sum()
    loss.backward()
    assert_close(ours_x.grad.transpose(0, 2, 1), x.grad)
    gradients = {n: p.grad for n, p in ours.named_parameters()}
    for key, p in theirs.named_parameters():
        name = key.replace("discriminators.", "scales.").replace(".conv.", ".")
        g = gradients.pop(name)
        assert_close(g if g.ndim == 1 else g.transpose(3, 2, 0, 1), p.grad)
    assert not gradients


def as_tensors(arrays):
    return [Tensor(a, requires_grad=True) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]


def test_hinge_losses(rng):
    real, real_peer = as_tensors([2 * rng.normal(size=(2, 5)), 2 * rng.normal(size=(2, 3))])
    fake, fake_peer = as_tensors([2 * rng.normal(size=(2, 5)), 2 * rng.normal(size=(2, 3))])
    relu = torch.nn.functional.relu
    expected = sum(relu(1 - r).mean() + relu(1 + f).mean() for r, f in zip(real_peer, fake_peer, strict=True)) / 2
    loss = discriminator_loss(real, fake)
    np.testing.assert_allclose(loss.data, expected.item(), rtol=1e-12)
    gradients = torch.autograd.grad(expected, [*real_peer, *fake_peer])
    for g, e in zip(grad(loss, [*real, *fake]), gradients, strict=True):
        np.testing.assert_allclose(g, e.numpy(), rtol=1e-12)

    for kind, peer in [
        ("hinge", sum(relu(1 - f).mean() for f in fake_peer) / 2),
        ("linear", sum(-f.mean() for f in fake_peer) / 2),
    ]:
        loss = generator_loss(fake, kind)
        np.testing.assert_allclose(loss.data, peer.item(), rtol=1e-12)
        for g, e in zip(grad(loss, fake), torch.autograd.grad(peer, fake_peer), strict=True):
            np.testing.assert_allclose(g, e.numpy(), rtol=1e-12)
    with pytest.raises(ValueError, match="choose hinge or linear"):
        generator_loss(fake, "soft")


def test_feature_matching_gradient(rng):
    real = [[Tensor(rng.normal(size=(2, 3))) for _ in range(2)] for _ in range(2)]
    fake, fake_peer = as_tensors([rng.normal(size=(2, 3)) for _ in range(4)])
    loss = feature_matching_loss(real, [fake[:2], fake[2:]])
    flat = [torch.tensor(r.data) for scale in real for r in scale]
    expected = sum((f - r).abs().mean() / r.abs().mean() for r, f in zip(flat, fake_peer, strict=True)) / 4
    np.testing.assert_allclose(loss.data, expected.item(), rtol=1e-12)
    for g, e in zip(grad(loss, fake), torch.autograd.grad(expected, fake_peer), strict=True):
        np.testing.assert_allclose(g, e.numpy(), rtol=1e-12)


def test_balancer_over_50_steps(rng):
    """Against the formulas of [Defossez22, §3.4] in torch, with autograd's gradients; one joins late."""
    weights, decay = {"a": 0.1, "b": 1.0, "adversary": 3.0}, 0.999
    balancer = Balancer(weights, decay=decay)
    total, fix = dict.fromkeys(weights, 0.0), dict.fromkeys(weights, 0.0)
    for step in range(50):
        x, targets = rng.normal(size=(3, 7, 2)), rng.normal(size=(3, 3, 7, 2))
        factor = np.exp(rng.normal(size=3))
        names = list(weights)[: 3 if step >= 20 else 2]

        decoded = Tensor(x, requires_grad=True)
        losses = {n: ((decoded - targets[i]) ** 2).sum() * factor[i] for i, n in enumerate(names)}
        combined, shares = balancer(losses, decoded)

        peer = torch.tensor(x, requires_grad=True)
        expected, sizes = torch.zeros_like(peer), {}
        for i, n in enumerate(names):
            loss = ((peer - torch.tensor(targets[i])) ** 2).sum() * factor[i]
            (g,) = torch.autograd.grad(loss, [peer])
            size = g.norm(dim=(1, 2)).mean().item()
            total[n], fix[n] = total[n] * decay + size, fix[n] * decay + 1
            part = weights[n] / sum(weights[m] for m in names) * g / (total[n] / fix[n] + 1e-12)
            expected, sizes[n] = expected + part, part.norm(dim=(1, 2)).mean().item()
        for n in names:
            np.testing.assert_allclose(shares[n], sizes[n] / sum(sizes.values()), rtol=1e-9)
        np.testing.assert_allclose(combined, expected.numpy(), rtol=1e-12)
