"""The LSTM on a GPU: both ways, whole sequences and frame by frame, and which is taken when."""

from types import SimpleNamespace

import numpy as np
import pytest

from minicodec.kernels.gpu import lstm as lstm_cuda
from minicodec.kernels.gpu.lstm import Plan, plan
from minicodec.ops.lstm import lstm
from tests.test_ops import assert_close


def inputs(B, T, Ci, H):
    rng = np.random.default_rng(2)
    shapes = [(B, T, Ci), (Ci, 4 * H), (H, 4 * H), (4 * H,), (B, H), (B, H)]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    return [a / np.float32(np.sqrt(H)) if a.ndim == 2 else a for a in arrays], rng.normal(size=(B, T, 2 * H))


# H = 70: tiles of 64 and 6 numbers; B = 200: more shared memory than a block gets without asking
@pytest.mark.parametrize("way", ["sequence", "frame by frame"])
@pytest.mark.parametrize("shape", [(5, 3, 4, 70), (1, 5, 2, 7), (200, 2, 3, 3)])
def test_equals_definition(shape, way, gpu, no_host_reads, monkeypatch):
    arrays, dy = inputs(*shape)
    if way == "frame by frame":
        monkeypatch.setattr(lstm_cuda, "plan", lambda cupy, B, H: None)
    else:
        assert plan(gpu, shape[0], shape[3])
    on_device = [gpu.asarray(a) for a in [*arrays, dy.astype(np.float32)]]
    with no_host_reads():
        forward, backward = lstm.pair(*on_device)
        y, saved = forward(*on_device[:6])
        grads = backward(on_device[6], saved)
    forward, backward = lstm.pairs["numpy"]
    y_exact, saved = forward(*(a.astype(np.float64) for a in arrays))
    assert_close(gpu.asnumpy(y), y_exact, 3e-6, "y")
    for g, g_exact in zip(grads, backward(dy, saved), strict=True):
        assert_close(gpu.asnumpy(g), g_exact, 3e-6, "gradient")


def gpu_of(multiprocessors, shared):
    """A module cupy on such a GPU."""
    limits = {"multiprocessors": multiprocessors, "shared": shared}
    runtime = SimpleNamespace(
        getDevice=lambda: 0,
        cudaDevAttrMultiProcessorCount="multiprocessors",
        cudaDevAttrMaxSharedMemoryPerBlockOptin="shared",
        deviceGetAttribute=lambda attribute, device: limits[attribute],
    )
    return SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))


@pytest.mark.parametrize(
    ("name", "multiprocessors", "kilobytes", "B", "expected"),
    [
        ("H100", 132, 227, 64, Plan(blocks=128, threads=256, units=4, shared=48 * 1024)),
        ("H100", 132, 227, 1, Plan(128, 128, 4, 32 * 1024 + 256)),
        ("H100", 132, 227, 200, Plan(128, 800, 4, (32 + 50) * 1024)),
        ("H100", 132, 227, 257, None),  # too many threads
        ("A100", 108, 163, 64, Plan(103, 320, 5, 56 * 1024)),
        ("RTX 4090", 128, 99, 64, Plan(128, 256, 4, 48 * 1024)),
        ("T4", 40, 64, 16, None),  # too much shared memory
    ],
)
def test_plan_for_512_units(name, multiprocessors, kilobytes, B, expected):
    assert plan(gpu_of(multiprocessors, kilobytes * 1024), B, 512) == expected
