"""The mel loss, value and gradient, against the same formulas in PyTorch in float64."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from minicodec.metrics import MEL_WINDOWS  # noqa: E402
from minicodec.tensor import Tensor  # noqa: E402
from minicodec.training.losses import MelLoss  # noqa: E402

BINS = dict(zip(MEL_WINDOWS, (5, 10, 20, 40, 80, 160, 320), strict=True))


def mel_filters(sample_rate, n_fft, bins):
    """As torchaudio.functional.melscale_fbanks has them (norm=None, mel_scale="htk"), from 0 Hz on."""
    frequencies = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1, dtype=torch.float64)
    mels = torch.linspace(0, 2595 * np.log10(1 + sample_rate / 2 / 700), bins + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mels / 2595) - 1)
    difference = corners[1:] - corners[:-1]
    slopes = corners[None] - frequencies[:, None]
    down, up = -slopes[:, :-2] / difference[:-1], slopes[:, 2:] / difference[1:]
    return torch.clamp(torch.minimum(down, up), min=0)


def torch_loss(x, decoded, windows):
    """x and decoded (B,T,C)."""
    total = 0
    for w in windows:
        hop = w // 4

        def spectrogram(signal, w=w, hop=hop):
            rows = torch.nn.functional.pad(signal.transpose(1, 2).flatten(0, 1), ((w - hop) // 2,) * 2)
            hann = torch.hann_window(w, dtype=rows.dtype)
            Y = torch.stft(rows, w, hop, window=hann, center=False, return_complex=True) / hann.square().sum().sqrt()
            return Y.abs().transpose(1, 2) @ mel_filters(24_000, w, BINS[w])

        S, E = spectrogram(x), spectrogram(decoded)
        total = total + torch.nn.functional.l1_loss(E, S)
        total = total + torch.nn.functional.mse_loss(torch.log10(1e-5 + E), torch.log10(1e-5 + S))
    return total


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("windows", [*((w,) for w in MEL_WINDOWS), MEL_WINDOWS])
@pytest.mark.parametrize("channels", [1, 2])
def test_mel_loss(windows, channels, dtype, rtol, rng):
    x = (0.1 * rng.normal(size=(2, 4000, channels))).astype(dtype)
    decoded = (x + 0.03 * rng.normal(size=x.shape)).astype(dtype)

    ours = Tensor(decoded, requires_grad=True)
    loss = MelLoss(24_000, windows)(Tensor(x), ours)
    loss.backward()

    theirs = torch.tensor(decoded, dtype=torch.float64, requires_grad=True)
    expected = torch_loss(torch.tensor(x, dtype=torch.float64), theirs, windows)
    expected.backward()

    assert loss.dtype == ours.grad.dtype == dtype
    assert float(loss) == pytest.approx(float(expected.detach()), rel=rtol)
    gradient = theirs.grad.numpy()
    np.testing.assert_allclose(ours.grad, gradient, rtol=0, atol=rtol * np.abs(gradient).max())
