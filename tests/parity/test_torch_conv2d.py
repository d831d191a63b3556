"""conv2d against PyTorch's: values and both gradients, the definition in float64 and the fast pair in float32."""

import numpy as np
import pytest

from minicodec.ops.conv2d import conv2d
from minicodec.ops.fused import conv2d_leaky_relu

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), [("numpy", np.float64, 1e-12), ("numba", np.float32, 2e-6)])
@pytest.mark.parametrize(
    ("F", "kernel", "Ci", "Co", "stride", "dilation", "padding"),
    [
        (65, (3, 9), 2, 32, (1, 1), (1, 1), (1, 4)),  # the layers of the MS-STFT discriminator, in their order
        (65, (3, 9), 32, 32, (1, 2), (1, 1), (1, 4)),
        (33, (3, 9), 32, 32, (1, 2), (2, 1), (2, 4)),
        (17, (3, 9), 32, 32, (1, 2), (4, 1), (4, 4)),
        (9, (3, 3), 32, 32, (1, 1), (1, 1), (1, 1)),
        (9, (3, 3), 32, 1, (1, 1), (1, 1), (1, 1)),
        (12, (3, 9), 8, 8, (1, 2), (1, 1), (1, 4)),
        (11, (2, 5), 3, 5, (1, 3), (2, 1), (0, 1)),
        (10, (3, 4), 4, 6, (2, 1), (1, 3), (1, 2)),
        (7, (1, 3), 2, 2, (1, 1), (1, 1), (2, 5)),  # more zeros than any window needs
    ],
)
def test_conv2d(F, kernel, Ci, Co, stride, dilation, padding, backend, dtype, tolerance, rng):
    x, w = rng.normal(size=(2, 13, F, Ci)).astype(dtype), rng.normal(size=(*kernel, Ci, Co)).astype(dtype)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding}
    forward, backward = conv2d.pairs[backend]
    y, saved = forward(x, w, **attrs)
    dy = rng.normal(size=y.shape).astype(dtype)
    dx, dw = backward(dy, saved, **attrs)

    peer_x, peer_w = (torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in (x, w))
    peer_y = torch.nn.functional.conv2d(peer_x.permute(0, 3, 1, 2), peer_w.permute(3, 2, 0, 1).contiguous(), **attrs)
    peer_y = peer_y.permute(0, 2, 3, 1).contiguous()
    peer_y.backward(torch.from_numpy(dy.astype(np.float64)))
    for got, peer in [(y, peer_y.detach()), (dx, peer_x.grad), (dw, peer_w.grad)]:
        expected = peer.numpy()
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(("backend", "dtype", "tolerance"), [("numpy", np.float64, 1e-12), ("numba", np.float32, 2e-6)])
@pytest.mark.parametrize(
    ("F", "kernel", "Ci", "Co", "stride", "dilation", "padding", "slope"),
    [
        (65, (3, 9), 2, 32, (1, 1), (1, 1), (1, 4), 0.2),
        (33, (3, 9), 32, 32, (1, 2), (2, 1), (2, 4), 0.2),
        (9, (3, 3), 8, 5, (1, 1), (1, 1), (1, 1), 0.01),
        (10, (3, 4), 4, 6, (2, 1), (1, 3), (1, 2), 0.5),
    ],
)
def test_a_layer(F, kernel, Ci, Co, stride, dilation, padding, slope, backend, dtype, tolerance, rng):
    shapes = [(2, 13, F, Ci), (*kernel, Ci, Co), (Co,)]
    x, w, b = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    attrs = {"stride": stride, "dilation": dilation, "padding": padding}
    forward, backward = conv2d_leaky_relu.pairs[backend]
    y, saved = forward(x, w, b, slope=slope, **attrs)
    dy = rng.normal(size=y.shape).astype(dtype)
    grads = backward(dy, saved, slope=slope, **attrs)

    peers = [torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in (x, w, b)]
    z = torch.nn.functional.conv2d(peers[0].permute(0, 3, 1, 2), peers[1].permute(3, 2, 0, 1), peers[2], **attrs)
    peer_y = torch.nn.functional.leaky_relu(z, slope).permute(0, 2, 3, 1)
    peer_y.backward(torch.from_numpy(dy.astype(np.float64)))
    for got, peer in zip([y, *grads], [peer_y.detach(), *(p.grad for p in peers)], strict=True):
        expected = peer.numpy()
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()
