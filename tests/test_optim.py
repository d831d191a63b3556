"""Adam: every backend makes the steps of the definition, and a saved state goes on alike."""

import numpy as np
import pytest

from minicodec.backend import load, use
from minicodec.nn.optim import Adam
from minicodec.ops.adam import UPDATES
from minicodec.tensor import Tensor

SHAPES = {"matrix": (3, 5), "one number": (), "vector": (70,), "unused": (4,), "late": (2, 9)}
OPTIONS = {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.02}


def trained(backend, dtype, monkeypatch):
    """The parameters after three steps, and how often a backend's own update was called."""
    calls, rng = [], np.random.default_rng(0)
    load("numba")

    def counted(name, update):
        return lambda *arrays, **numbers: (calls.append(name), update(*arrays, **numbers))

    for name, update in UPDATES.items():
        monkeypatch.setitem(UPDATES, name, counted(name, update))
    parameters = {name: Tensor(rng.normal(size=s).astype(dtype), requires_grad=True) for name, s in SHAPES.items()}
    adam = Adam(parameters, **OPTIONS)
    for step in range(3):
        for name, shape in SHAPES.items():
            if name != "unused" and (name != "late" or step > 0):
                g = np.repeat(rng.normal(size=shape).astype(dtype)[..., None], 2, axis=-1)[..., 0]  # not contiguous
                parameters[name].grad = g
        with use(backend):
            adam.step()
    assert adam.steps == {"matrix": 3, "one number": 3, "vector": 3, "unused": 0, "late": 2}
    return {name: p.data for name, p in parameters.items()}, calls


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_backends_make_the_steps_of_the_definition(backend, monkeypatch):
    with monkeypatch.context() as patches:
        found, calls = trained(backend, np.float32, patches)
    assert set(calls) == {backend}
    exact, calls = trained("numba", np.float64, monkeypatch)
    assert set(calls) == {"numpy"}, "in float64, the definition"
    for name in SHAPES:
        np.testing.assert_allclose(found[name], exact[name], rtol=1e-5, atol=1e-6)


def test_state_continues_where_it_was(rng):
    """Saved after step 3 and loaded into a new optimiser, it takes the same step 4."""
    w = Tensor(rng.normal(size=5).astype(np.float32), requires_grad=True)
    first = Adam({"w": w})
    for _ in range(3):
        w.grad = rng.normal(size=5).astype(np.float32)
        first.step()
    copy = Tensor(w.data.copy(), requires_grad=True)
    second = Adam({"w": copy})
    second.load_state_dict({k: np.array(v) for k, v in first.state_dict().items()})
    copy.grad = w.grad
    first.step()
    second.step()
    np.testing.assert_array_equal(copy.data, w.data)
    with pytest.raises(ValueError, match="other parameters"):
        Adam({"v": copy}).load_state_dict(first.state_dict())
