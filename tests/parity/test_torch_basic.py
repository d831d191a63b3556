"""Activations, padding, matrix products, cross-entropy, embedding and normalisations: values and gradients of PyTorch.

PyTorch puts channels before time; an array is transposed on its way there and its gradient on the way back.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from minicodec.ops import activations, norm  # noqa: E402
from minicodec.ops.embedding import embedding  # noqa: E402
from minicodec.ops.linear import linear, matmul  # noqa: E402
from minicodec.ops.padding import pad1d  # noqa: E402
from minicodec.ops.softmax_cross_entropy import softmax, softmax_cross_entropy  # noqa: E402
from minicodec.ops.weight_norm import weight_norm  # noqa: E402

# The definition in float64, and what a user gets: the default backend in float32.
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-5)])


def close(got, expected, tolerance, what):
    """Largest error relative to the largest expected value."""
    expected = expected.detach().numpy()
    assert got.shape == expected.shape, what
    assert got.dtype == expected.dtype, what
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"{what}: relative error {error:.1e}"


def compare(op, reference, arrays, rng, tolerance, **attrs):
    """Hold op(*arrays, **attrs) and its gradients against reference(*tensors) and PyTorch's autograd."""
    forward, backward = op.pair(*arrays)
    y, saved = forward(*arrays, **attrs)
    dy = rng.normal(size=y.shape).astype(y.dtype)
    grads = backward(dy, saved, **attrs)

    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    expected = reference(*tensors)
    expected.backward(torch.tensor(dy))
    close(y, expected, tolerance, "y")
    for n, (g, t) in enumerate(zip(grads, tensors, strict=True)):
        if t.requires_grad:
            close(g, t.grad, tolerance, f"gradient of input {n}")
        else:
            assert g is None


def channels_first(f):
    """f, which works on (B,C,T), as a function of (B,T,C)."""
    return lambda x, *others: f(x.transpose(1, 2), *others).transpose(1, 2)


@PRECISIONS
@pytest.mark.parametrize(
    ("op", "reference", "attrs"),
    [
        pytest.param(activations.elu, F.elu, {}, id="elu"),
        pytest.param(activations.leaky_relu, lambda x: F.leaky_relu(x, 0.2), {}, id="leaky_relu"),
        pytest.param(activations.leaky_relu, lambda x: F.leaky_relu(x, 0.01), {"slope": 0.01}, id="leaky_relu-0.01"),
        pytest.param(activations.tanh, torch.tanh, {}, id="tanh"),
        pytest.param(activations.sigmoid, torch.sigmoid, {}, id="sigmoid"),
        pytest.param(activations.gelu, F.gelu, {}, id="gelu"),
        pytest.param(activations.exp, torch.exp, {}, id="exp"),
        pytest.param(activations.abs, torch.abs, {}, id="abs"),
        pytest.param(activations.clamp_min, lambda x: x.clamp_min(-0.5), {"floor": -0.5}, id="clamp_min"),
        pytest.param(softmax, lambda x: torch.softmax(x, -1), {}, id="softmax"),
    ],
)
def test_elementwise_and_softmax(op, reference, attrs, dtype, tolerance, rng):
    x = (3 * rng.normal(size=(3, 50, 8))).astype(dtype)
    compare(op, reference, [x], rng, tolerance, **attrs)


@pytest.mark.parametrize("name", ["elu", "leaky_relu", "abs"])
def test_gradient_at_a_kink(name):
    """At exactly 0, one has to choose a slope; padding makes zeros, so the choice is seen. Ours is PyTorch's."""
    op = getattr(activations, name)
    reference = {"elu": F.elu, "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "abs": torch.abs}[name]
    for dtype in (np.float32, np.float64):
        x = np.array([-1, 0, 1], dtype)
        forward, backward = op.pair(x)
        t = torch.tensor(x, requires_grad=True)
        reference(t).backward(torch.ones(3, dtype=t.dtype))
        np.testing.assert_allclose(backward(np.ones(3, dtype), forward(x)[1])[0], t.grad.numpy(), 1e-6)


@PRECISIONS
@pytest.mark.parametrize(("op", "reference"), [(activations.log, torch.log), (activations.sqrt, torch.sqrt)])
def test_log_and_sqrt(op, reference, dtype, tolerance, rng):
    compare(op, reference, [rng.uniform(1e-5, 2, (3, 50)).astype(dtype)], rng, tolerance)


@PRECISIONS
@pytest.mark.parametrize(("left", "right"), [(6, 0), (3, 3), (0, 4), (2, 5)])
@pytest.mark.parametrize(("mode", "torch_mode"), [("zero", "constant"), ("reflect", "reflect")])
def test_pad1d(mode, torch_mode, left, right, dtype, tolerance, rng):
    x = rng.normal(size=(2, 7, 3)).astype(dtype)
    reference = channels_first(lambda x: F.pad(x, (left, right), torch_mode))
    compare(pad1d, reference, [x], rng, tolerance, left=left, right=right, mode=mode)


@PRECISIONS
@pytest.mark.parametrize("T", [1, 2, 5, 6, 7])
@pytest.mark.parametrize(("left", "right"), [(6, 0), (3, 3), (2, 6), (6, 5), (0, 1)])
def test_reflection_of_short_inputs_is_encodecs(T, left, right, dtype, tolerance, rng):
    encodec_pad1d = pytest.importorskip("encodec.modules.conv").pad1d
    x = rng.normal(size=(2, T, 3)).astype(dtype)
    reference = channels_first(lambda x: encodec_pad1d(x, (left, right), "reflect"))
    compare(pad1d, reference, [x], rng, tolerance, left=left, right=right, mode="reflect")


@PRECISIONS
@pytest.mark.parametrize(("a", "b"), [((2, 4, 5, 6), (2, 4, 6, 7)), ((2, 1, 5, 6), (4, 6, 7)), ((5, 6), (6, 1))])
def test_matmul(a, b, dtype, tolerance, rng):
    compare(matmul, torch.matmul, [rng.normal(size=s).astype(dtype) for s in (a, b)], rng, tolerance)


@PRECISIONS
def test_linear(dtype, tolerance, rng):
    """PyTorch's weight is (Co,Ci)."""
    arrays = [rng.normal(size=s).astype(dtype) for s in ((2, 9, 33), (33, 20))]
    compare(linear, lambda x, w: F.linear(x, w.T), arrays, rng, tolerance)


@PRECISIONS
@pytest.mark.parametrize("offset", [0, 1e4])
def test_softmax_cross_entropy(offset, dtype, tolerance, rng):
    """PyTorch's classes are the second axis. An offset changes nothing, and does not overflow."""
    logits = (np.round(5 * rng.normal(size=(4, 6, 16)), 1) + offset).astype(dtype)
    targets = rng.integers(0, 16, size=(4, 6))

    def reference(x, t):
        return F.cross_entropy(x.transpose(1, 2), t, reduction="none")

    compare(softmax_cross_entropy, reference, [logits, targets], rng, tolerance)


@PRECISIONS
def test_embedding(dtype, tolerance, rng):
    table, indices = rng.normal(size=(10, 6)).astype(dtype), rng.integers(0, 10, size=(4, 25))
    compare(embedding, lambda table, i: F.embedding(i, table), [table, indices], rng, tolerance)


@PRECISIONS
@pytest.mark.parametrize(
    ("axis", "to_torch", "back"),
    [
        pytest.param(2, (2, 1, 0), (2, 1, 0), id="conv"),  # (K,Ci,Co) <-> (Co,Ci,K)
        pytest.param(1, (1, 2, 0), (2, 0, 1), id="conv_transpose"),  # (K,Ci,Co) <-> (Ci,Co,K)
    ],
)
def test_weight_norm(axis, to_torch, back, dtype, tolerance, rng):
    """torch._weight_norm keeps PyTorch's axis 0, as `torch.nn.utils.weight_norm` does by default."""
    v = rng.normal(size=(7, 12, 16)).astype(dtype)
    g = rng.uniform(0.5, 2, size=[n if i == axis else 1 for i, n in enumerate(v.shape)]).astype(dtype)

    def reference(v, g):
        return torch._weight_norm(v.permute(to_torch), g.permute(to_torch), 0).permute(back)

    compare(weight_norm, reference, [v, g], rng, tolerance, axis=axis)


@PRECISIONS
def test_layer_norm(dtype, tolerance, rng):
    arrays = [(2 + 3 * rng.normal(size=s)).astype(dtype) for s in ((2, 30, 20), (20,), (20,))]
    compare(norm.layer_norm, lambda x, w, b: F.layer_norm(x, (20,), w, b), arrays, rng, tolerance)


@PRECISIONS
@pytest.mark.parametrize("groups", [1, 4])
def test_group_norm(groups, dtype, tolerance, rng):
    arrays = [(2 + 3 * rng.normal(size=s)).astype(dtype) for s in ((2, 300, 8), (8,), (8,))]
    reference = channels_first(lambda x, w, b: F.group_norm(x, groups, w, b))
    compare(norm.group_norm, reference, arrays, rng, tolerance, groups=groups)
