"""A layer in one op is its parts, with the same bits on any number of threads; other backends run the parts."""

import numba
import numpy as np
import pytest

from minicodec import functional as F
from minicodec.backend import use
from minicodec.codec.seanet import ResidualUnit, SEANetConfig
from minicodec.nn.layers import Conv1d, ConvTranspose1d
from minicodec.ops.fused import residual_unit
from minicodec.tensor import Tensor, grad

LAYERS = {  # with T for 2 threads: enough numbers of input, or enough multiplications
    "first": (lambda rng: Conv1d(1, 16, 7, pad_mode="reflect", rng=rng), 33_000),
    "reflect": (lambda rng: Conv1d(16, 24, 3, dilation=2, pad_mode="reflect", rng=rng), 4_700),
    "centred": (lambda rng: Conv1d(16, 20, 8, stride=4, causal=False, pad_mode="reflect", rng=rng), 4_699),
    "zeros": (lambda rng: Conv1d(16, 32, 4, stride=2, norm="weight_norm", rng=rng), 4_700),
    "last": (lambda rng: Conv1d(16, 1, 7, rng=rng), 4_700),
    "upwards": (lambda rng: ConvTranspose1d(16, 12, 8, stride=4, norm="weight_norm", rng=rng), 4_700),
    "upwards centred": (lambda rng: ConvTranspose1d(16, 12, 10, stride=5, causal=False, rng=rng), 4_700),
}


def run(layer, x, dy, elu):
    x = Tensor(x, requires_grad=True)
    y = layer(x, elu=elu)
    return [y.data, *grad(y, [x, *layer.parameters()], dy[:, : y.shape[1]].copy())]


@pytest.mark.parametrize("elu", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_the_parts_in_one(name, elu, rng, monkeypatch):
    make, T = LAYERS[name]
    layer = make(rng)
    x = rng.normal(size=(2, T, 1 if name == "first" else 16)).astype(np.float32)
    dy = rng.normal(size=(2, 5 * T if T < 9999 else T, len(layer.bias.data))).astype(np.float32)
    before = numba.get_num_threads()
    results = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results.append(run(layer, x, dy, elu))
    numba.set_num_threads(before)
    monkeypatch.setattr(F, "_in_one", lambda op, *inputs: False)
    parts = run(layer, x, dy, elu)
    for one, two, part in zip(*results, parts, strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.abs(one - part).max() <= 2e-6 * np.abs(part).max()
    np.testing.assert_array_equal(results[0][0], parts[0])


@pytest.mark.parametrize(("backend", "whole"), [("numba", True), ("numpy", False), ("student", False)])
def test_who_has_no_pair_for_the_layer_runs_its_parts(backend, whole, rng):
    """So a student's convolution is the one that the codec runs on."""
    layers = [Conv1d(4, 3, 3, rng=rng), ConvTranspose1d(4, 3, 4, stride=2, rng=rng)]
    x = Tensor(rng.normal(size=(2, 9, 4)).astype(np.float32))
    with use(backend):
        results = [layer(x, elu=True) for layer in layers]
    assert [y.parents[0] is x for y in results] == [whole, whole]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_arrays_as_well(name, rng):
    layer = LAYERS[name][0](rng)
    x = rng.normal(size=(1, 50, 1 if name == "first" else 16)).astype(np.float32)
    np.testing.assert_array_equal(layer(x).data, layer(Tensor(x)).data)
    with use("numpy"):
        np.testing.assert_array_equal(layer(x).data, layer(Tensor(x)).data)


@pytest.mark.parametrize(("B", "pad_mode", "dilation"), [(2, "reflect", 1), (3, "zero", 2)])
def test_a_residual_unit_in_one(B, pad_mode, dilation, rng, monkeypatch):
    """Of two items, each is a thread's; of three, all threads work at one after the other."""
    unit = ResidualUnit(24, SEANetConfig(pad_mode=pad_mode), dilation, rng=rng)
    x, dy = (rng.normal(size=(B, 9_001, 24)).astype(np.float32) for _ in range(2))
    results = []
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(threads)
        y = unit(whole := Tensor(x, requires_grad=True))
        results.append([y.data, *grad(y, [whole, *unit.parameters()], dy)])
    numba.set_num_threads(before)
    monkeypatch.setattr(F, "_in_one", lambda op, *inputs: False)
    y = unit(whole)
    for one, two, part in zip(*results, [y.data, *grad(y, [whole, *unit.parameters()], dy)], strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.abs(one - part).max() <= 3e-6 * np.abs(part).max()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_residual_unit_refuses_padding_that_changes_the_length(backend):
    forward, _ = residual_unit.pairs[backend]
    x, w1, w2, ws = (np.zeros(s, np.float32) for s in [(1, 9, 4), (3, 4, 2), (1, 2, 4), (1, 4, 4)])
    with pytest.raises(ValueError, match="do not keep the length"):
        forward(x, w1, w2[0, :, 0], w2, ws[0, 0], ws, ws[0, 0], left=1, right=0)
