"""conv1d against PyTorch's: values and both gradients, the definition in float64 and the fast pair in float32."""

import numpy as np
import pytest

from minicodec.ops.conv1d import conv1d

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), [("numpy", np.float64, 1e-12), ("numba", np.float32, 2e-6)])
@pytest.mark.parametrize(
    ("T", "K", "Ci", "Co", "stride", "dilation"),
    [
        (200, 7, 1, 16, 1, 1),
        (200, 3, 16, 8, 1, 1),
        (206, 7, 16, 1, 1, 1),
        (206, 7, 32, 2, 1, 1),
        (203, 4, 16, 32, 2, 1),
        (203, 16, 40, 20, 8, 1),
        (50, 1, 8, 24, 1, 1),
        (90, 5, 6, 7, 1, 4),
        (90, 3, 6, 7, 2, 3),
        (90, 2, 6, 7, 5, 1),
    ],
)
def test_conv1d(T, K, Ci, Co, stride, dilation, backend, dtype, tolerance, rng):
    x, w = rng.normal(size=(2, T, Ci)).astype(dtype), rng.normal(size=(K, Ci, Co)).astype(dtype)
    forward, backward = conv1d.pairs[backend]
    y, saved = forward(x, w, stride=stride, dilation=dilation)
    dy = rng.normal(size=y.shape).astype(dtype)
    dx, dw = backward(dy, saved, stride=stride, dilation=dilation)

    peer_x, peer_w = (torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in (x, w))
    peer_y = torch.nn.functional.conv1d(
        peer_x.transpose(1, 2), peer_w.permute(2, 1, 0), stride=stride, dilation=dilation
    ).transpose(1, 2)
    peer_y.backward(torch.from_numpy(dy.astype(np.float64)))
    for got, peer in [(y, peer_y.detach()), (dx, peer_x.grad), (dw, peer_w.grad)]:
        expected = peer.numpy()
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()
