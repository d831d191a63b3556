"""Every op, on every backend, in every case: against its definition and against finite differences."""

from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest

import minicodec.ops
from minicodec.backend import KERNELS, OPS, load
from minicodec.course.cases import all_cases
from minicodec.course.shapes import hold, results
from minicodec.gradcheck import check

for module in iter_modules(minicodec.ops.__path__):
    import_module(f"minicodec.ops.{module.name}")
for backend in KERNELS:
    load(backend)

CASES = all_cases()
INTEGER_RESULTS = {"nearest_codeword"}  # codes carry no gradient


@pytest.fixture
def rng():
    """Not of seed 0, as the cases' inputs are: along dy = v, say, the gradient of weight norm is 0."""
    return np.random.default_rng(1)


def every_case():
    return [pytest.param(op, case, id=f"{name}-{case}") for name, op in OPS.items() for case in CASES.get(name, [])]


def every_differentiable_case():
    return [param for param in every_case() if param.values[0].name not in INTEGER_RESULTS]


def every_fast_pair():
    return [
        pytest.param(op, backend, case, id=f"{name}-{backend}-{case}")
        for name, op in OPS.items()
        for backend in sorted(op.pairs.keys() - {"numpy", "cupy"})
        for case in CASES.get(name, [])
    ]


def gradients(op, arrays, grads):
    """The gradients that are not None: those of floating-point inputs, unless the result is whole numbers."""
    assert len(arrays) == len(grads)
    expected = [op.name not in INTEGER_RESULTS and x.dtype.kind == "f" for x in arrays]
    assert [dx is not None for dx in grads] == expected
    return [dx for dx in grads if dx is not None]


def assert_close(got, expected, tolerance, what):
    """The largest error relative to the largest expected value: sums of mixed signs cancel, so entries alone do not."""
    assert got.shape == expected.shape, what
    scale = max(np.abs(expected).max(initial=0), 1e-30)
    error = np.abs(got - expected).max(initial=0) / scale
    assert error <= tolerance, f"{what}: relative error {error:.2e}"


def strided(a):
    """The same numbers, not contiguous in memory."""
    wide = np.zeros(tuple(2 * n for n in a.shape), a.dtype)
    view = wide[(..., *(slice(None, None, 2) for _ in a.shape))]
    view[...] = a
    return view


def test_every_op_has_cases():
    assert OPS.keys() == CASES.keys()
    assert all(CASES.values())


@pytest.mark.parametrize(("op", "case"), every_differentiable_case())
def test_gradient(op, case, rng):
    check(op.pairs["numpy"], case.arrays(), case.attrs, rng)


@pytest.mark.parametrize(("op", "case"), every_differentiable_case())
def test_the_checker_notices_one_wrong_entry(op, case, rng):
    """Who checks the checker? Spoil one entry of one gradient by 1 %, and it must object."""
    forward, backward = op.pairs["numpy"]

    def spoiled(dy, saved, **attrs):
        grads = [None if g is None else np.array(g) for g in backward(dy, saved, **attrs)]
        candidates = [g for g in grads if g is not None and np.abs(g).max() > 1e-5]
        g = candidates[rng.integers(len(candidates))]
        g.flat[np.abs(g).argmax()] *= 1.01
        return grads

    with pytest.raises(AssertionError):
        check((forward, spoiled), case.arrays(), case.attrs, rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("op", "case"), every_case())
def test_definition_keeps_precision_and_inputs(op, case, dtype, rng):
    forward, backward = op.pairs["numpy"]
    arrays = case.arrays(dtype)
    copies = [a.copy() for a in arrays]
    y, saved = forward(*arrays, **case.attrs)
    dy = rng.normal(size=y.shape).astype(dtype)
    dy_copy = dy.copy()
    grads = gradients(op, arrays, backward(dy, saved, **case.attrs))
    for a, copy in zip([*arrays, dy], [*copies, dy_copy], strict=True):
        np.testing.assert_array_equal(a, copy, "an input was modified")
    assert y.dtype == (np.int64 if op.name in INTEGER_RESULTS else dtype)
    assert all(g.dtype == dtype for g in grads)

    y2, saved2 = forward(*map(strided, arrays), **case.attrs)
    grads2 = gradients(op, arrays, backward(strided(dy), saved2, **case.attrs))
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert_close(y2, y, tolerance, "y of non-contiguous inputs")
    for g2, g in zip(grads2, grads, strict=True):
        assert_close(g2, g, tolerance, "gradient of non-contiguous inputs")


@pytest.mark.parametrize("layout", [np.asarray, strided])  # ascontiguousarray would add an axis to a scalar
@pytest.mark.parametrize(("op", "backend", "case"), every_fast_pair())
def test_fast_pair_equals_definition(op, backend, case, layout, rng):
    """In float32 against the definition in float64: the fast pair must be as good as float32 allows."""
    forward, backward = op.pairs[backend]
    arrays = [layout(a) for a in case.arrays(np.float32)]
    copies = [a.copy() for a in arrays]
    y, saved = forward(*arrays, **case.attrs)
    dy = layout(rng.normal(size=y.shape).astype(np.float32))
    dy_copy = dy.copy()
    grads = gradients(op, arrays, backward(dy, saved, **case.attrs))
    for a, copy in zip([*arrays, dy], [*copies, dy_copy], strict=True):
        np.testing.assert_array_equal(a, copy, "an input was modified")

    forward, backward = op.pairs["numpy"]
    exact = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    y_exact, saved = forward(*exact, **case.attrs)
    grads_exact = gradients(op, exact, backward(dy.astype(np.float64), saved, **case.attrs))
    assert y.dtype == (np.int64 if op.name in INTEGER_RESULTS else np.float32)
    assert_close(y, y_exact, 3e-6, "y")
    for g, g_exact in zip(grads, grads_exact, strict=True):
        assert g.dtype == np.float32
        assert_close(g, g_exact, 3e-6, "gradient")


# The shapes in the docstrings, executed.


@pytest.mark.parametrize(("op", "case"), every_case())
def test_docstrings_promise_the_right_shapes(op, case):
    forward, backward = op.pairs["numpy"]
    arrays = case.arrays()
    y, saved = forward(*arrays, **case.attrs)
    grads = gradients(op, arrays, backward(np.ones(y.shape), saved, **case.attrs))
    bound = {}
    for doc, given, returned in [(forward.__doc__, arrays, [y]), (backward.__doc__, [y], grads)]:
        hold(doc.split(" -> ", 1)[0], given, bound)
        if returned:  # integer results: no gradient comes back
            hold(results(doc), returned, bound)
