"""The mel loss: its gradient against central differences, and what it must and must not notice."""

import numpy as np
import pytest

from minicodec.metrics import MEL_WINDOWS
from minicodec.tensor import Tensor
from minicodec.training.losses import MelLoss


def test_gradient_is_the_derivative(rng):
    """Along random directions, in float64: <gradient, d> against (L(y + εd) - L(y - εd)) / 2ε."""
    x, y = (Tensor(rng.normal(size=(2, 700, 2))) for _ in range(2))
    y.requires_grad = True
    loss = MelLoss(24_000, (32, 128, 512))
    loss(x, y).backward()
    for _ in range(5):
        d = rng.normal(size=y.shape)
        d /= np.linalg.norm(d)
        ahead, behind = (float(loss(x, Tensor(y.data + sign * 1e-6 * d))) for sign in (1, -1))
        assert np.vdot(y.grad, d) == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


def test_the_original_gets_no_gradient(rng):
    x, y = (Tensor(rng.normal(size=(1, 500, 1)).astype(np.float32), requires_grad=True) for _ in range(2))
    MelLoss(24_000, (64,))(x, y).backward()
    assert x.grad is None
    assert np.abs(y.grad).max() > 0


def test_zero_for_equal_signals_and_blind_to_sign(rng):
    x = rng.normal(size=(2, 3000, 1)).astype(np.float32)
    loss = MelLoss(24_000, MEL_WINDOWS)
    assert float(loss(Tensor(x), Tensor(x))) == 0
    assert float(loss(Tensor(x), Tensor(-x))) == 0


def test_of_ten_times_the_level(rng):
    """The mean |S - 10 S| is 9 mean S, and log10 differs by 1 in every filter."""
    x = 100 * rng.normal(size=(1, 3000, 1))
    loss = MelLoss(24_000, (256,))
    mean = loss.spectrogram(Tensor(x), 256).data.mean()
    assert float(loss(Tensor(x), Tensor(10 * x))) == pytest.approx(9 * mean + 1, rel=1e-5)


def test_frames_are_centred_on_their_hops():
    """A click in the middle of hop 20 stands in frame 20, at every window."""
    for window in MEL_WINDOWS:
        hop = window // 4
        x = np.zeros((1, 60 * hop, 1))
        x[0, 20 * hop + hop // 2] = 1
        S = MelLoss(24_000, (window,)).spectrogram(Tensor(x), window).data
        assert S.shape[1] == 60
        assert S[0].sum(axis=1).argmax() == 20
