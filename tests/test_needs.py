"""A backward that is told which gradients are wanted: those are the same to the bit, no other product is computed."""

import inspect

import numpy as np
import pytest

from minicodec.backend import OPS
from minicodec.course.cases import all_cases
from minicodec.kernels.cpu import arithmetic, conv1d, conv2d, conv_transpose1d, linear, lstm

CASES = all_cases()
# For which inputs a gradient that nobody wants is left out; those of an LSTM's state and bias come with any other.
LEFT_OUT = {
    "add": (0, 1),
    "conv1d": (0, 1),
    "conv1d_layer": (0, 1, 2),
    "conv2d": (0, 1),
    "conv2d_leaky_relu": (0, 1, 2),
    "conv_transpose1d": (0, 1),
    "conv_transpose1d_layer": (0, 1, 2),
    "l1_distance": (1,),
    "linear": (0, 1),
    "lstm": (0, 1, 2),
    "residual_unit": (0, 1, 2, 3, 4, 5, 6),
}
MODULES = {  # where the products of an op are
    "conv1d": conv1d,
    "conv1d_layer": conv1d,
    "conv2d": conv2d,
    "conv2d_leaky_relu": conv2d,
    "conv_transpose1d": conv_transpose1d,
    "conv_transpose1d_layer": conv_transpose1d,
    "linear": linear,
    "lstm": lstm,
}


def fast_cases():
    """Those that the fast pair computes itself instead of leaving them to the definition, which has no `needs`."""
    for name in LEFT_OUT:
        for case in CASES[name]:
            stride, dilation = case.attrs.get("stride", 1), case.attrs.get("dilation", 1)
            if name == "conv1d" and stride > 1 and dilation > 1:
                continue
            if name.startswith("conv2d") and not conv2d.fits_a_line(
                np.empty(case.shapes[1]),
                case.attrs.get("stride", (1, 1)),
                case.attrs.get("dilation", (1, 1)),
                case.attrs.get("padding", (0, 0)),
            ):
                continue
            yield pytest.param(name, case, id=f"{name}-{case}")


def gradients(name, case, rng, **needs):
    forward, backward = OPS[name].pairs["numba"]
    y, saved = forward(*case.arrays(np.float32), **case.attrs)
    return backward(rng.normal(size=y.shape).astype(np.float32), saved, **case.attrs, **needs)


@pytest.mark.parametrize(("name", "case"), list(fast_cases()))
def test_what_is_needed_is_the_same_and_the_rest_is_left_out(name, case):
    everything = gradients(name, case, np.random.default_rng(3))
    for wanted in range(len(everything)):
        needs = tuple(i == wanted for i in range(len(everything)))
        some = gradients(name, case, np.random.default_rng(3), needs=needs)
        assert len(some) == len(everything)
        np.testing.assert_array_equal(some[wanted], everything[wanted])
        assert all(some[i] is None for i in LEFT_OUT[name] if i != wanted)


def test_a_bias_gets_the_sum_over_many_rows(rng):
    dy = rng.normal(size=(3, 1001, 5)).astype(np.float32)
    _, db = arithmetic.add_backward_numba(dy, (dy.shape, (5,)))
    np.testing.assert_allclose(db, dy.astype(np.float64).sum(axis=(0, 1)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", MODULES)
def test_a_product_nobody_needs_is_not_computed(name, monkeypatch):
    """With no gradient wanted, neither kind of product runs."""

    def forbidden(*args, **kwargs):
        raise AssertionError("a product was computed")

    case = next(param.values[1] for param in fast_cases() if param.values[0] == name)
    forward, backward = OPS[name].pairs["numba"]
    y, saved = forward(*case.arrays(np.float32), **case.attrs)
    dy = np.ones_like(y)
    for module in (MODULES[name], conv1d):
        monkeypatch.setattr(module, "multiply", forbidden, raising=False)
        monkeypatch.setattr(module, "multiply_transposed", forbidden, raising=False)
    with pytest.raises(AssertionError, match="a product was computed"):
        backward(dy, saved, **case.attrs)
    backward(dy, saved, **case.attrs, needs=(False,) * len(case.shapes))


def test_every_backward_with_needs_is_tested():
    told = {
        name
        for name, op in OPS.items()
        for _, backward in op.pairs.values()
        if "needs" in inspect.signature(backward).parameters and backward.__module__.startswith("minicodec")
    }
    assert told == set(LEFT_OUT)
