"""Transposed convolution, LSTM and STFT: values, states and gradients of PyTorch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from minicodec.ops.conv_transpose1d import conv_transpose1d  # noqa: E402
from minicodec.ops.lstm import lstm  # noqa: E402
from minicodec.ops.stft import stft, stft_magnitude  # noqa: E402

# The definition in float64, and what a user gets: the default backend in float32.
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])


def close(got, expected, tolerance, what):
    """Largest error relative to the largest expected value."""
    expected = expected.detach().numpy()
    assert got.shape == expected.shape, what
    assert got.dtype == expected.dtype, what
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{what}: relative error {error:.1e}"


def compare(op, reference, arrays, rng, tolerance, **attrs):
    """Hold op(*arrays, **attrs) and its gradients against reference(*tensors) and PyTorch's autograd."""
    forward, backward = op.pair(*arrays)
    y, saved = forward(*arrays, **attrs)
    dy = rng.normal(size=y.shape).astype(y.dtype)
    grads = backward(dy, saved, **attrs)

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = reference(*tensors)
    expected.backward(torch.tensor(dy))
    close(y, expected, tolerance, "y")
    for n, (g, t) in enumerate(zip(grads, tensors, strict=True)):
        close(g, t.grad, tolerance, f"gradient of input {n}")


def draw(rng, dtype, *shapes):
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


@PRECISIONS
@pytest.mark.parametrize(("K", "stride"), [(16, 8), (4, 2), (7, 3), (3, 1), (2, 5)])
def test_conv_transpose1d(K, stride, dtype, tolerance, rng):
    def reference(x, w):
        y = F.conv_transpose1d(x.transpose(1, 2), w.permute(1, 2, 0), stride=stride)
        return y.transpose(1, 2)

    arrays = draw(rng, dtype, (2, 13, 24), (K, 24, 10))
    compare(conv_transpose1d, reference, arrays, rng, tolerance, stride=stride)


@PRECISIONS
@pytest.mark.parametrize(("B", "T", "Ci", "H"), [(3, 20, 17, 32), (1, 75, 64, 64), (8, 5, 30, 50)])
def test_lstm(B, T, Ci, H, dtype, tolerance, rng):
    """All of y = [h | c] has to agree, so the states of every frame are compared, and gradients arrive at all of them.

    PyTorch gives c only after the last frame: it runs frame by frame here. Its layers of whole sequences come below.
    """
    arrays = draw(rng, dtype, (B, T, Ci), (Ci, 4 * H), (H, 4 * H), (4 * H,), (B, H), (B, H))
    arrays[1:3] = [w / dtype(len(w) ** 0.5) for w in arrays[1:3]]

    def reference(x, w_ih, w_hh, b, h, c):
        frames = []
        for t in range(T):
            h, c = torch.lstm_cell(x[:, t], (h, c), w_ih.T, w_hh.T, b)
            frames.append(torch.cat([h, c], dim=1))
        return torch.stack(frames, dim=1)

    compare(lstm, reference, arrays, rng, tolerance)


@PRECISIONS
def test_lstm_layer(dtype, tolerance, rng):
    """torch.nn.LSTM, one layer, its two biases: outputs, last state, and gradients of all of these."""
    B, T, Ci, H = 4, 40, 24, 36
    x, h0, c0 = draw(rng, dtype, (B, T, Ci), (B, H), (B, H))
    peer = torch.nn.LSTM(Ci, H, batch_first=True, dtype=torch.tensor(x).dtype)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, h0[None], c0[None])]
    expected, (h_last, c_last) = peer(tensors[0], (tensors[1], tensors[2]))
    d_out, dh_last, dc_last = draw(rng, dtype, (B, T, H), (B, H), (B, H))
    torch.autograd.backward(
        [expected, h_last, c_last], [torch.tensor(d) for d in (d_out, dh_last[None], dc_last[None])]
    )

    w_ih, w_hh = peer.weight_ih_l0.detach().numpy().T, peer.weight_hh_l0.detach().numpy().T
    b = (peer.bias_ih_l0 + peer.bias_hh_l0).detach().numpy()
    forward, backward = lstm.pair(x, w_ih, w_hh, b, h0, c0)
    y, saved = forward(x, w_ih, w_hh, b, h0, c0)
    close(y[..., :H], expected, tolerance, "output")
    close(y[:, -1, :H], h_last[0], tolerance, "last h")
    close(y[:, -1, H:], c_last[0], tolerance, "last c")

    dy = np.concatenate([d_out, np.zeros_like(d_out)], axis=2)
    dy[:, -1] += np.concatenate([dh_last, dc_last], axis=1)
    dx, dw_ih, dw_hh, db, dh0, dc0 = backward(dy, saved)
    close(dx, tensors[0].grad, tolerance, "dx")
    close(dw_ih.T, peer.weight_ih_l0.grad, tolerance, "dw_ih")
    close(dw_hh.T, peer.weight_hh_l0.grad, tolerance, "dw_hh")
    close(db, peer.bias_ih_l0.grad, tolerance, "db")
    close(db, peer.bias_hh_l0.grad, tolerance, "db")
    close(dh0[None], tensors[1].grad, tolerance, "dh0")
    close(dc0[None], tensors[2].grad, tolerance, "dc0")


@PRECISIONS
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize(("n_fft", "hop"), [(128, 32), (512, 128), (60, 25)])
def test_stft(n_fft, hop, normalized, dtype, tolerance, rng):
    """PyTorch's own `normalized` divides by sqrt(n_fft); torchaudio's, and ours, by the root of the window's power."""
    (x,) = draw(rng, dtype, (2, 1500))
    window = torch.hann_window(n_fft, dtype=torch.tensor(x).dtype)
    scale = window.square().sum().sqrt() if normalized else 1

    def spectrum(x):
        Y = torch.stft(x, n_fft, hop, window=window, center=False, return_complex=True) / scale
        return Y.transpose(1, 2)

    attrs = {"n_fft": n_fft, "hop": hop, "normalized": normalized}
    compare(stft, lambda x: torch.view_as_real(spectrum(x)), [x], rng, tolerance, **attrs)
    compare(stft_magnitude, lambda x: spectrum(x).abs(), [x], rng, tolerance, **attrs)
