"""The mel loss: its gradient against central differences, and what it must and must not notice."""

import numpy as np
import pytest

from minicodec.codec.transform import mdct_basis
from minicodec.metrics import MEL_WINDOWS
from minicodec.tensor import Tensor
from minicodec.training.losses import MelLoss, WaveformLoss


@pytest.mark.parametrize(
    ("kind", "terms"),
    [("fitting", {}), ("absolute", {}), ("absolute", {"relative": 0.7}), ("absolute", {"level": 0.7})],
)
def test_gradient_is_the_derivative(rng, kind, terms):
    """Along random directions, in float64: <gradient, d> against (L(y + εd) - L(y - εd)) / 2ε."""
    x, y = (Tensor(rng.normal(size=(2, 700, 2))) for _ in range(2))
    y.requires_grad = True
    loss = MelLoss(24_000, (32, 128, 512), kind=kind, **terms)
    loss(x, y).backward()
    for _ in range(5):
        d = rng.normal(size=y.shape)
        d /= np.linalg.norm(d)
        ahead, behind = (float(loss(x, Tensor(y.data + sign * 1e-6 * d))) for sign in (1, -1))
        assert np.vdot(y.grad, d) == pytest.approx((ahead - behind) / 2e-6, abs=1e-6 * np.linalg.norm(y.grad))


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


@pytest.mark.parametrize(("kind", "in_logs"), [("fitting", 3**2), ("absolute", 2 * 3)], ids=["fitting", "absolute"])
def test_of_a_thousand_times_the_level(rng, kind, in_logs):
    """The mean |S - 1000 S| is 999 mean S, and log10 differs by 3 in every filter: its square, or twice itself."""
    x = 100 * rng.normal(size=(1, 3000, 1))
    loss = MelLoss(24_000, (256,), kind=kind)
    mean = loss.spectrogram(Tensor(x), 256).data.mean()
    assert float(loss(Tensor(x), Tensor(1000 * x))) - 999 * mean == pytest.approx(in_logs, rel=1e-4)


def test_the_relative_term(rng):
    """Of signals at 0.9 and 1.3 times their level: 0.1 and 0.3, however loud each is, for each window."""
    x = rng.normal(size=(2, 3000, 1)) * [[[1.0]], [[1e-2]]]
    y = x * [[[0.9]], [[1.3]]]
    with_it, without = (MelLoss(24_000, (64, 256), relative=weight)(Tensor(x), Tensor(y)) for weight in (0.5, 0.0))
    assert float(with_it) - float(without) == pytest.approx(0.5 * 2 * np.mean([0.1, 0.3]), rel=1e-3)


def test_the_term_of_levels(rng):
    """Of signals at half and at three times their level: log10 of 4 and of 9, for each window, however loud each is."""
    x = rng.normal(size=(2, 3000, 1)) * [[[1.0]], [[1e-2]]]
    y = x * [[[0.5]], [[3.0]]]
    with_it, without = (MelLoss(24_000, (64, 256), level=weight)(Tensor(x), Tensor(y)) for weight in (0.5, 0.0))
    assert float(with_it) - float(without) == pytest.approx(0.5 * 2 * np.log10([4, 9]).mean(), rel=1e-4)


def test_levels_are_of_power_and_know_no_time(rng):
    """What is played backwards has them, as has one burst of 2 in place of a noise of 1 that lasts four times as long.

    Its mean magnitude is half of the other's.
    """
    noise, burst = rng.normal(size=(2, 1, 64_000, 1))
    burst = np.where(np.arange(64_000)[:, None] % 32_000 < 8_000, 2, 0) * burst
    loss, without = (MelLoss(24_000, (256,), level=weight) for weight in (1.0, 0.0))

    def term(y):
        return float(loss(Tensor(noise), Tensor(y))) - float(without(Tensor(noise), Tensor(y)))

    assert term(noise[:, ::-1]) < 0.002
    assert term(burst) < 0.05
    assert term(0.5 * noise) > 0.5


def test_windows_that_stand_for_all(rng):
    """Each pair of three, and the mean over pairs is the loss."""
    x, y = (Tensor(rng.normal(size=(1, 3000, 1))) for _ in range(2))
    loss = MelLoss(24_000, (64, 256, 1024))
    pairs = [float(loss(x, y, pair)) for pair in ((64, 256), (64, 1024), (256, 1024))]
    assert np.mean(pairs) == pytest.approx(float(loss(x, y)), rel=1e-9)
    assert max(pairs) > 1.01 * min(pairs)


def test_a_floor_hides_what_is_softer(rng):
    x, y = (Tensor(1e-4 * rng.normal(size=(1, 3000, 1))) for _ in range(2))
    assert float(MelLoss(24_000, (256,), floor=1e-2)(x, y)) < 1e-2 * float(MelLoss(24_000, (256,))(x, y))


def waveform_loss(rng, *limits):
    """The loss of noise, its gradient as a spectrum of 1 Hz bins, and the MDCT coefficients of the difference."""
    x, y = rng.normal(size=(2, 24_000, 1))
    decoded = Tensor(y[None], requires_grad=True)
    loss = WaveformLoss(24_000, *limits)(Tensor(x[None]), decoded)
    loss.backward()
    frames = np.lib.stride_tricks.sliding_window_view((y - x)[:, 0], 640)[::320]
    return float(loss), np.abs(np.fft.rfft(decoded.grad[0, :, 0])), np.abs(frames @ mdct_basis(320).astype(float))


def test_the_waveform_below_a_frequency(rng):
    """The mean over all 320 coefficients, with those above 2 kHz taken as 0; it pulls at nothing up there."""
    loss, pull, coefficients = waveform_loss(rng, 2000)
    assert loss == pytest.approx(coefficients[:, :53].sum(axis=1).mean() / 320, rel=1e-6)
    assert pull[2200:].max() < 0.05 * pull[:2000].max()


def test_the_waveform_above_a_frequency_counts_less(rng):
    """Above 2 kHz a tenth of each difference counts, and pulls with a tenth of the strength."""
    loss, pull, coefficients = waveform_loss(rng, 2000, 0.1)
    coefficients[:, 53:] *= 0.1
    assert loss == pytest.approx(coefficients.mean(), rel=1e-6)
    strength = [np.sqrt(np.mean(band**2)) for band in (pull[:1800], pull[2200:])]
    assert strength[1] == pytest.approx(0.1 * strength[0], rel=0.05)


def test_frames_are_centred_on_their_hops():
    """A click in the middle of hop 20 stands in frame 20, at every window."""
    for window in MEL_WINDOWS:
        hop = window // 4
        x = np.zeros((1, 60 * hop, 1))
        x[0, 20 * hop + hop // 2] = 1
        S = MelLoss(24_000, (window,)).spectrogram(Tensor(x), window).data
        assert S.shape[1] == 60
        assert S[0].sum(axis=1).argmax() == 20


# What AudioCraft's MultiScaleMelSpectrogramLoss(range_start=6, range_end=11, n_mels=64, f_min=64, normalized=True,
# alphas=False) gave in float64, on torchaudio 2.11: the loss of `published_signals`, and its gradient at some samples.
PUBLISHED_LOSS, PUBLISHED_GRADIENT_NORM = 0.2016595121271889, 0.20332454229914612
PUBLISHED_GRADIENT = {
    0: -0.00016789100342813037,
    291: -0.002325244547534598,
    582: -0.0007766362665459098,
    873: -0.0005580262272902661,
    1164: 0.003705722151314737,
    1455: 0.003534994643214459,
    1746: 0.0009078333209895736,
    2037: -0.002031158467949491,
    2328: -0.0042615478809045395,
    2619: -0.0008539513526587141,
    2910: 0.0038489594245533854,
}


def published_signals():
    t = np.arange(3001) / 24_000
    tones = 0.4 * np.sin(2 * np.pi * 220 * t) + 0.2 * np.sin(2 * np.pi * 1870 * t + 0.5)
    x = tones + 0.05 * np.sin(2 * np.pi * (3000 * t + 40000 * t**2))
    y = 0.8 * x + 0.02 * np.sin(2 * np.pi * 5100 * t) + 0.01 * np.cos(2 * np.pi * 97 * t)
    return x[None, :, None], y[None, :, None]


def test_the_published_loss():
    x, y = published_signals()
    y = Tensor(y, requires_grad=True)
    loss = MelLoss(24_000, (64, 128, 256, 512, 1024), kind="published")(Tensor(x), y)
    loss.backward()
    assert float(loss) == pytest.approx(PUBLISHED_LOSS, rel=1e-6)
    assert np.linalg.norm(y.grad) == pytest.approx(PUBLISHED_GRADIENT_NORM, rel=1e-6)
    # torchaudio rounds its window to float32: that is the rest of the difference.
    got = y.grad[0, list(PUBLISHED_GRADIENT), 0]
    np.testing.assert_allclose(got, list(PUBLISHED_GRADIENT.values()), rtol=0, atol=2e-6 * np.abs(y.grad).max())
