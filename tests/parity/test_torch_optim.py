"""Adam and AdamW against torch's, step by step."""

import numpy as np
import pytest

from minicodec.nn.optim import Adam
from minicodec.tensor import Tensor

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])  # the compiled update, and its definition
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(0.5, 0.9), (0.9, 0.999)])
def test_adam(betas, weight_decay, dtype, rng):
    values = {"w": rng.normal(size=(3, 4)), "b": rng.normal(size=4), "sometimes": rng.normal(size=2)}
    ours = {k: Tensor(v.astype(dtype), requires_grad=True) for k, v in values.items()}
    theirs = {k: torch.tensor(v.astype(dtype), requires_grad=True) for k, v in values.items()}
    adam = Adam(ours, lr=0.01, betas=betas, weight_decay=weight_decay)
    kind = torch.optim.AdamW if weight_decay else torch.optim.Adam
    peer = kind(theirs.values(), lr=0.01, betas=betas, weight_decay=weight_decay)
    for step in range(20):
        for name in values:
            g = None if name == "sometimes" and step % 3 else rng.normal(size=values[name].shape).astype(dtype)
            g = g if g is None or step != 5 else g * 0  # a gradient of zeros still moves: momentum
            ours[name].grad = g
            theirs[name].grad = None if g is None else torch.tensor(g)
        adam.step()
        peer.step()
        for name in values:
            rtol = 1e-5 if dtype == np.float32 else 1e-12
            np.testing.assert_allclose(ours[name].data, theirs[name].detach().numpy(), rtol=rtol, atol=rtol)
