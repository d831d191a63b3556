"""Every op, on every backend, in every case, with the unexpected: precisions, layouts, nothing at all, NaN."""

import numpy as np
import pytest

from minicodec import functional as F
from minicodec.backend import OPS, use
from minicodec.course.shapes import ARRAY
from minicodec.tensor import Tensor, apply, grad
from tests.test_ops import CASES, INTEGER_RESULTS, assert_close, every_case, gradients, rng

__all__ = ["rng"]  # a fixture
BACKENDS = ("numpy", "numba")


def run(op, arrays, attrs, rng):
    """y, and the gradients of all inputs that have one, as Tensors get them."""
    tensors = [Tensor(a, requires_grad=a.dtype.kind == "f" and op.name not in INTEGER_RESULTS) for a in arrays]
    y = apply(op, *tensors, **attrs)
    wanted = [t for t in tensors if t.requires_grad]
    return [y.data, *(grad(y, wanted, rng.normal(size=y.shape)) if wanted else [])]


def fortran(a):
    return a.copy(order="F")


def backwards(a):
    everywhere = (slice(None, None, -1),) * a.ndim
    return a[everywhere].copy()[everywhere]


def repeated(a):
    """Read-only, and the first entry of the first axis stands for all, with a step of 0."""
    return np.broadcast_to(a[:1], a.shape) if a.ndim else a


@pytest.mark.parametrize("layout", [fortran, backwards, repeated])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("op", "case"), every_case())
def test_layouts(op, case, backend, layout, rng):
    arrays = case.arrays(np.float32)
    with use(backend):
        forward, backward = op.pair(*arrays)
        odd = [layout(a) for a in arrays]
        y_odd, saved = forward(*odd, **case.attrs)
        dy = layout(rng.normal(size=y_odd.shape).astype(np.float32))
        odd = [y_odd, *gradients(op, odd, backward(dy, saved, **case.attrs))]

        plain = [np.array(layout(a)) for a in arrays]
        y, saved = forward(*plain, **case.attrs)
        plain = [y, *gradients(op, plain, backward(np.array(dy), saved, **case.attrs))]
    for a, b in zip(odd, plain, strict=True):
        assert_close(a, b, 2e-6, layout.__name__)


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">f8"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("op", "case"), every_case())
def test_other_precisions_run_the_definition(op, case, backend, dtype):
    """float16, float32 and float64 with their bytes the other way round; indices likewise."""
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a.astype(">i4") for a in case.arrays()]
    exact = [a.astype(np.float64) if a.dtype.kind == "f" else a.astype(np.int64) for a in arrays]
    with use(backend):
        got = run(op, arrays, case.attrs, np.random.default_rng(1))
    for a, b in zip(got, run(op, exact, case.attrs, np.random.default_rng(1)), strict=True):
        assert_close(a.astype(b.dtype), b, 0.02 if dtype == "f2" else 1e-5, dtype)


@pytest.mark.parametrize("others", [np.float64, np.int64])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("op", "case"), every_case())
def test_mixed_precisions_run_the_definition(op, case, backend, others):
    """The first input in float32, the others in float64, or whole numbers."""
    first, *rest = case.arrays(np.float32)
    rest = [np.ceil(a).astype(others) if a.dtype.kind == "f" else a for a in rest]
    with use(backend):
        got = run(op, [first, *rest], case.attrs, np.random.default_rng(1))
    exact = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in (first, *rest)]
    exact = run(op, exact, case.attrs, np.random.default_rng(1))
    assert all(a.dtype == np.float32 for a in got[1:2])
    for a, b in zip(got, exact, strict=False):
        assert_close(a, b, 1e-5, str(others))


# Nothing to do. No items: results and gradients without items, and gradients of weights that are 0. The same without
# frames, or a ValueError where a number would have to come from nothing: a mean, a window.

NO_BATCH = {"power", "getitem", "reshape", "transpose", "concatenate", "weight_norm", "sum", "mean", "l1_distance"}
NEEDS_FRAMES = {
    *("conv1d", "conv1d_layer", "conv_transpose1d", "conv_transpose1d_layer", "conv2d", "conv2d_leaky_relu"),
    *("group_norm", "residual_unit", "stft", "stft_magnitude"),
}


def emptied(letter, op, case):
    """The case's arrays, those axes empty that the docstring gives this letter: B, T, or * for the first of several."""
    arrays = case.arrays(np.float32)
    for i, (_, axes, _) in enumerate(ARRAY.findall(op.pairs["numpy"][0].__doc__.split(" -> ")[0])):
        for place, name in enumerate(letters := axes.split(",")):
            if name[:1] == letter and arrays[i].ndim >= len(letters):
                axis = place if letter in "*B" else place - len(letters)
                arrays[i] = arrays[i].take([], axis=axis)
    return arrays


@pytest.mark.parametrize("letter", ["B", "T", "*"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", sorted(OPS.keys() - NO_BATCH))
def test_nothing_to_do(name, backend, letter, rng):
    op = OPS[name]
    for case in CASES[name]:
        arrays = emptied(letter, op, case)
        if name in ("add", "sub", "mul", "div", "matmul"):  # which broadcast
            arrays = case.arrays(np.float32)
            longest = max(a.ndim for a in arrays)
            if letter == "*" and longest > 2 * (name == "matmul"):
                arrays = [a[:0] if a.ndim == longest and len(a) > 1 else a for a in arrays]
        if all(a.size for a in arrays):
            continue
        with use(backend):
            if letter == "T" and name in NEEDS_FRAMES:
                with pytest.raises(ValueError, match=f"^({'|'.join(NEEDS_FRAMES)}): .*(frames|samples|window)"):
                    run(op, arrays, case.attrs, rng)
                continue
            y, *grads = run(op, arrays, case.attrs, rng)
        assert y.size == 0 or (name == "pad1d" and not y.any())
        assert not any(g.any() for g in grads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mean_of_nothing(backend):
    nothing = np.zeros((3, 0), np.float32)
    with use(backend):
        for axis in (None, 1):
            with pytest.raises(ValueError, match="mean: there are no numbers"):
                Tensor(nothing).mean(axis)
        assert Tensor(nothing).mean(0).shape == (0,)
        with pytest.raises(ValueError, match="there are no numbers"):
            F.l1_loss(Tensor(nothing), nothing)


# NaN and infinity: a fast pair hides none that the definition shows


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("op", "case"), every_case())
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow", "ignore:divide")
def test_what_is_not_a_number_stays(op, case, bad):
    """Where the definition's y and gradients are not finite, those of the fast pair are not.

    (But it may spread them: where a product is given zeros to fill its rows, 0 · NaN is NaN.)
    """
    results = []
    for backend in BACKENDS:
        arrays = case.arrays(np.float32)
        if arrays[0].size:
            arrays[0].flat[arrays[0].size // 2] = bad
        with use(backend):
            results.append(run(op, arrays, case.attrs, np.random.default_rng(1)))
    for a, b in zip(*results, strict=True):
        assert not (np.isfinite(b) & ~np.isfinite(a)).any()
