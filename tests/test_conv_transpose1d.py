"""Transposed convolution is the transpose of convolution, and nothing else."""

import numpy as np
import pytest

from minicodec.backend import load
from minicodec.ops.conv1d import conv1d
from minicodec.ops.conv_transpose1d import conv_transpose1d

load("numba")  # its pairs, in case no other file of tests has


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(("K", "stride", "T"), [(4, 2, 9), (16, 8, 20), (3, 1, 7), (7, 3, 5), (2, 5, 6)])
def test_adjoint_of_conv1d(K, stride, T, backend, rng):
    """<A x, y> = <x, Aᵀ y> for all x and y, where A y is conv1d with the channel axes of w swapped."""
    dtype, tolerance = (np.float64, 1e-14) if backend == "numpy" else (np.float32, 1e-6)
    forward = conv1d.pairs[backend][0]
    transposed = conv_transpose1d.pairs.get(backend, conv_transpose1d.pairs["numpy"])[0]
    w = rng.normal(size=(K, 5, 3)).astype(dtype)
    x = rng.normal(size=(2, T, 5)).astype(dtype)
    y = rng.normal(size=(2, (T - 1) * stride + K, 3)).astype(dtype)
    up, _ = transposed(x, w, stride=stride)
    down, _ = forward(y, w.swapaxes(1, 2), stride=stride)
    size = np.linalg.norm(x) * np.linalg.norm(down)
    assert abs(np.vdot(up, y) - np.vdot(x, down)) < tolerance * size
