"""Adam on a GPU: the same steps as the definition's, for parameters of all sizes."""

import numpy as np
import pytest

from minicodec.nn.optim import Adam
from minicodec.tensor import Tensor

SHAPES = {"a": (3, 5), "b": (), "c": (700,), "unused": (4,), "late": (2, 9)}


def parameters(arrays):
    """By name, and with gradients once they are set."""
    return {name: Tensor(a, requires_grad=True) for name, a in arrays.items()}


def test_equals_definition(gpu, rng, no_host_reads):
    start = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    ours = parameters({name: gpu.asarray(a) for name, a in start.items()})
    exact = parameters({name: a.astype(np.float64) for name, a in start.items()})
    options = {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.02}
    adams = [Adam(ours, **options), Adam(exact, **options)]
    for step in range(3):
        for name, shape in SHAPES.items():
            if name == "unused" or (name == "late" and step == 0):
                continue
            g = rng.normal(size=shape)
            strided = gpu.asarray(np.repeat(g.astype(np.float32)[..., None], 2, axis=-1))[..., 0]
            ours[name].grad, exact[name].grad = strided, g
        with no_host_reads():
            adams[0].step()
        adams[1].step()
    for name in SHAPES:
        np.testing.assert_allclose(gpu.asnumpy(ours[name].data), exact[name].data, rtol=1e-5, atol=1e-6)
    assert adams[0].steps == {"a": 3, "b": 3, "c": 3, "unused": 0, "late": 2}


def test_parameters_must_be_contiguous(gpu):
    p = gpu.zeros((4, 4), np.float32)[:, ::2]
    tensor = Tensor(p, requires_grad=True)
    adam = Adam({"p": tensor})
    tensor.grad = p
    with pytest.raises(ValueError, match="contiguous"):
        adam.step()
