"""Every op, on every backend, in every case, with odd inputs: layouts, precisions, nothing at all, NaN."""

import numpy as np
import pytest

from minicodec import functional as F
from minicodec.backend import OPS, use
from minicodec.course.shapes import ARRAY
from minicodec.device import host
from minicodec.tensor import Tensor, apply, grad
from minicodec.training.discriminator import MultiScaleSTFTDiscriminator
from tests.test_ops import CASES, INTEGER_RESULTS, assert_close, gradients, rng

__all__ = ["rng"]  # a fixture
BACKENDS = ("numpy", "numba")
everywhere = pytest.mark.parametrize(("name", "backend"), [(name, b) for name in CASES for b in BACKENDS])


def run(op, arrays, attrs):
    """y, and the gradients of all inputs that have one, as Tensors get them."""
    tensors = [Tensor(a, requires_grad=a.dtype.kind == "f" and op.name not in INTEGER_RESULTS) for a in arrays]
    y = apply(op, *tensors, **attrs)
    wanted = [t for t in tensors if t.requires_grad]
    dy = np.random.default_rng(1).normal(size=y.shape)
    return [host(a) for a in [y.data, *(grad(y, wanted, dy) if wanted else [])]]


def copied(a, dtype):
    """In that precision, if it has a fraction."""
    return a.astype(dtype) if a.dtype.kind == "f" else a


def fortran(a):
    return a.copy(order="F")


def backwards(a):
    reverse = (slice(None, None, -1),) * a.ndim
    return a[reverse].copy()[reverse]


def repeated(a):
    """Read-only, and the first entry of the first axis stands for all, with a step of 0."""
    return np.broadcast_to(a[:1], a.shape) if a.ndim else a


@pytest.mark.parametrize("layout", [fortran, backwards, repeated])
@everywhere
def test_layouts(name, backend, layout, rng):
    op = OPS[name]
    for case in CASES[name]:
        odd = [layout(a) for a in case.arrays(np.float32)]
        plain = [np.array(a, order="C") for a in odd]
        with use(backend):
            forward, backward = op.pair(*odd)
        y_odd, saved = forward(*odd, **case.attrs)
        dy = layout(rng.normal(size=y_odd.shape).astype(np.float32))
        odd = [y_odd, *gradients(op, odd, backward(dy, saved, **case.attrs))]
        y, saved = forward(*plain, **case.attrs)
        plain = [y, *gradients(op, plain, backward(np.array(dy, order="C"), saved, **case.attrs))]
        for a, b in zip(odd, plain, strict=True):
            assert_close(a, b, 1e-4, str(case))  # equal rows cancel in sums; whatever goes wrong is larger


def test_one_item_of_stereo(rng):
    """Its channels become items by a step through memory, not by a copy."""
    x = Tensor(rng.normal(size=(1, 640, 2)).astype(np.float32), requires_grad=True)
    judge = MultiScaleSTFTDiscriminator((64,), 2, rng=rng)
    together = judge(x).logits[0]
    (dx,) = grad(together.sum(), [x])
    for channel in (0, 1):
        alone = Tensor(x.data[:, :, channel : channel + 1], requires_grad=True)
        logits = judge(alone).logits[0]
        np.testing.assert_allclose(together.data[channel], logits.data[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(dx[0, :, channel], grad(logits.sum(), [alone])[0][0, :, 0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("dtype", ["f2", ">f4", ">f8"])
@everywhere
def test_other_precisions_run_the_definition(name, backend, dtype):
    """float16, float32 and float64 with their bytes the other way round; indices likewise."""
    for case in CASES[name]:
        arrays = [a.astype(dtype if a.dtype.kind == "f" else ">i4") for a in case.arrays()]
        exact = [a.astype(np.float64 if a.dtype.kind == "f" else np.int64) for a in arrays]
        with use(backend):
            got = run(OPS[name], arrays, case.attrs)
        for a, b in zip(got, run(OPS[name], exact, case.attrs), strict=True):
            assert_close(a.astype(b.dtype), b, 0.02 if dtype == "f2" else 1e-5, str(case))


@pytest.mark.parametrize("others", [np.float64, np.int64])
@everywhere
def test_mixed_precisions_run_the_definition(name, backend, others):
    """The first input in float32, the others in float64, or whole numbers."""
    for case in CASES[name]:
        first, *rest = case.arrays(np.float32)
        arrays = [first, *(copied(np.ceil(a), others) for a in rest)]
        with use(backend):
            got = run(OPS[name], arrays, case.attrs)
        exact = run(OPS[name], [copied(a, np.float64) if a is first else a for a in arrays], case.attrs)
        assert all(dx.dtype == np.float32 for dx in got[1:2])
        for a, b in zip(got, exact, strict=True):
            assert_close(a, b, 1e-5, str(case))


# Nothing to do. No items: results and gradients without items, and gradients of weights that are 0. The same without
# frames, or a ValueError where a number would have to come from nothing: a mean, a window.

NO_BATCH = {"power", "getitem", "reshape", "transpose", "concatenate", "weight_norm", "sum", "mean", "l1_distance"}
BROADCASTING = {"add", "sub", "mul", "div", "matmul"}
NEEDS_FRAMES = {
    *("conv1d", "conv1d_layer", "conv_transpose1d", "conv_transpose1d_layer", "conv2d", "conv2d_leaky_relu"),
    *("group_norm", "residual_unit", "stft", "stft_magnitude"),
}


def emptied(letter, op, case):
    """The case's arrays, those axes empty that the docstring gives this letter: B, T, or * for the first of several."""
    arrays = case.arrays(np.float32)
    if op.name in BROADCASTING:
        longest = max(a.ndim for a in arrays)
        if letter == "*" and longest > 2 * (op.name == "matmul"):
            arrays = [a[:0] if a.ndim == longest and len(a) > 1 else a for a in arrays]
        return arrays
    for i, (_, axes, _) in enumerate(ARRAY.findall(op.pairs["numpy"][0].__doc__.split(" -> ")[0])):
        for place, name in enumerate(letters := axes.split(",")):
            if name[:1] == letter and arrays[i].ndim >= len(letters):
                axis = place if letter in "*B" else place - len(letters)
                arrays[i] = arrays[i].take([], axis=axis)
    return arrays


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", sorted(OPS.keys() - NO_BATCH))
def test_nothing_to_do(name, backend):
    with use(backend):
        nothing_to_do(name, np.asarray)


@pytest.mark.parametrize("name", sorted(OPS.keys() - NO_BATCH))
def test_nothing_to_do_on_a_gpu(name, gpu):
    if "softmax" in name:  # CuPy takes no maximum over 1000 classes of 0 items
        with pytest.raises(ValueError, match="zero-size array"):
            nothing_to_do(name, gpu.asarray)
    else:
        nothing_to_do(name, gpu.asarray)


def nothing_to_do(name, put):
    op, tried = OPS[name], 0
    for letter in "BT*":
        for case in CASES[name]:
            arrays = emptied(letter, op, case)
            if all(a.size for a in arrays):
                continue
            tried += 1
            if letter == "T" and name in NEEDS_FRAMES:
                with pytest.raises(ValueError, match=f"^({'|'.join(NEEDS_FRAMES)}): .*(frames|samples|window)"):
                    run(op, [put(a) for a in arrays], case.attrs)
                continue
            y, *grads = run(op, [put(a) for a in arrays], case.attrs)
            assert y.size == 0 or (name == "pad1d" and not y.any())
            assert not any(g.any() for g in grads)
    assert tried


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
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow", "ignore:divide")
def test_what_is_not_a_number_stays(name, bad):
    """Where the definition's y and gradients are not finite, those of the fast pair are not.

    (But it may spread them: where a product is given zeros to fill its rows, 0 · NaN is NaN.)
    """
    for case in CASES[name]:
        found = []
        for backend in BACKENDS:
            arrays = case.arrays(np.float32)
            arrays[0].flat[arrays[0].size // 2] = bad
            with use(backend):
                found.append(run(OPS[name], arrays, case.attrs))
        for a, b in zip(*found, strict=True):
            assert not (np.isfinite(b) & ~np.isfinite(a)).any(), case


# Far out, where one side of an activation is flat: to the last digit that is there, not to 1e-7 of 1


@pytest.mark.parametrize(
    ("name", "backend"), [("elu", "numpy"), ("elu", "numba"), ("sigmoid", "numpy"), ("gelu", "numpy")]
)  # not gelu on numba: its Φ is a formula to 3e-7
def test_tails(name, backend):
    with use(backend):
        tails(name, np.asarray)


@pytest.mark.parametrize("name", ["elu", "sigmoid", "gelu"])
def test_tails_on_a_gpu(name, gpu):
    tails(name, gpu.asarray)


def tails(name, put):
    x = np.array([-80, -40, -17.5, -12, -6, -1, 1, 6, 12, 40], np.float32)
    x = x[x > -10] if name == "gelu" else x
    y, dx = run(OPS[name], [put(x)], {})
    y_exact, dx_exact = run(OPS[name], [x.astype(np.float64)], {})
    np.testing.assert_allclose(y, y_exact, rtol=2e-6)
    np.testing.assert_allclose(dx, dx_exact, rtol=2e-5 if name == "gelu" else 2e-6)
