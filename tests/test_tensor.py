"""The autograd core: paths add up, order is right, memory is freed, and nothing else happens."""

import doctest
import gc
import weakref

import numpy as np
import pytest

import minicodec.tensor
from minicodec import functional as F
from minicodec.backend import OPS, Op
from minicodec.gradcheck import numeric_grad
from minicodec.tensor import Tensor, apply, grad, no_grad, topological_order


def leaf(value):
    return Tensor(np.asarray(value, np.float64), requires_grad=True)


def test_example_in_the_docstring():
    assert doctest.testmod(minicodec.tensor) == (0, 3)


def test_paths_add_up():
    """Every node is used twice, in two ways: a forgotten or doubled path shows (cf. a well-known bug of micrograd)."""
    a = leaf(3.0)
    b = a * a
    c = b * a + b
    (da,) = grad(c + a * c, [a])
    assert da == 4 * 3.0**3 + 2 * 3 * 3.0**2 + 2 * 3.0  # d/da of a⁴ + 2a³ + a²


def test_diamond_takes_linear_time_and_no_recursion():
    """2^200 paths, and a depth of 20,000: one visit a node."""
    a = leaf(1.0)
    y = a
    for _ in range(200):
        y = y + y
    for _ in range(20_000):
        y = y + 1.0
    assert grad(y, [a])[0] == 2.0**200


def test_parents_come_before_children():
    a, b = leaf(1.0), leaf(2.0)
    c = a * b
    d = c + a
    order = [id(t) for t in topological_order(d * c)]
    for t in (c, d):
        assert all(order.index(id(p)) < order.index(id(t)) for p in t.parents)


def test_grad_of_an_intermediate_value_and_of_its_inputs():
    """The balancer asks for dL/dx̂ in the middle of the graph, and the codec's own gradient in the same call."""
    x = leaf([1.0, 2.0])
    middle = x * x
    loss = (middle * middle).sum()
    d_middle, dx = grad(loss, [middle, x])
    np.testing.assert_array_equal(d_middle, 2 * middle.data)
    np.testing.assert_array_equal(dx, 4 * x.data**3)
    assert x.grad is None
    assert middle.grad is None


def test_grad_with_respect_to_itself_and_to_a_stranger():
    x, stranger = leaf([1.0, 2.0]), leaf([5.0])
    (itself, other) = grad(x, [x, stranger], np.array([7.0, 8.0]))
    np.testing.assert_array_equal(itself, [7, 8])
    np.testing.assert_array_equal(other, [0])


def test_grad_of_what_requires_none():
    """Zeros would be a wrong answer: y does depend on it."""
    a, frozen = leaf(1.0), Tensor(np.array(2.0))
    with pytest.raises(ValueError, match=r"require no gradient: \[1\]"):
        grad(a * frozen, [a, frozen])
    with pytest.raises(ValueError, match="requires a gradient, or no_grad was on"):
        (frozen * 2.0).backward()
    with pytest.raises(ValueError, match="int64 have no gradient"):
        Tensor(np.arange(3), requires_grad=True)


def test_vector_needs_dy_of_its_shape():
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="say which dy"):
        grad(x * 2.0, [x])
    with pytest.raises(ValueError, match="dy has shape"):
        grad(x * 2.0, [x], np.ones((2, 1)))
    np.testing.assert_array_equal(grad(x * 2.0, [x], np.array([1.0, 10.0]))[0], [2, 20])


def test_backward_accumulates_in_leaves_only():
    x = leaf([1.0, 2.0])
    constant = Tensor(np.array([3.0, 4.0]))
    y = x * constant
    y.sum().backward()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [6, 8])
    assert constant.grad is None
    assert y.grad is None


def test_gradients_share_no_memory():
    """`add` hands one array to both its inputs, `reshape` a view of it; whoever clips one gradient clips one only."""
    a, b, c, dy = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([[5.0], [6.0]]), np.array([0.5, 0.25])
    (a + b + c.reshape(2)).backward(dy)
    for t in (a, b, c):
        t.grad *= 100
    np.testing.assert_array_equal([a.grad, b.grad, c.grad[:, 0]], [[50, 25]] * 3)
    np.testing.assert_array_equal(dy, [0.5, 0.25])

    a.backward(dy)  # a leaf is its own y
    a.grad[...] = 0
    np.testing.assert_array_equal(dy, [0.5, 0.25])


@pytest.mark.parametrize("second", [np.ones(2), [1, 1]])
def test_a_second_backward_adds_to_the_first(second):
    a = leaf([1.0, 2.0])
    (a * 3.0).backward(np.array([1.0, 10.0]))
    first = a.grad
    (a * a).backward(second)
    np.testing.assert_array_equal(a.grad, [3 + 2, 30 + 4])
    np.testing.assert_array_equal(first, [3, 30])


def test_only_the_way_to_the_wanted_is_swept():
    """grad(loss, [x_hat]) must not run the backwards below x_hat."""
    called = []

    def forward(x):
        return x + 1, ()

    def backward(dy, saved):
        called.append(1)
        return (dy,)

    probe = Op("probe", forward, backward)
    try:
        x = leaf(1.0)
        middle = apply(probe, x)
        grad(middle * 2.0, [middle])
        assert called == []
        grad(middle * 2.0, [x])
        assert called == [1]
    finally:
        del OPS["probe"]


def test_ops_hear_which_gradients_are_needed():
    """The weights of a discriminator that judges for the generator: their gradients are not computed."""
    heard = []

    def backward(dy, saved, *, needs):
        heard.append(needs)
        return tuple(dy if needed else None for needed in needs)

    probe = Op("probe", lambda a, b: (a + b, ()), backward)
    try:
        a, b, constant = leaf(1.0), leaf(2.0), Tensor(np.array(3.0))
        grad(apply(probe, a, b), [b])
        grad(apply(probe, a, constant), [a])
        apply(probe, a, b).backward()
        assert heard == [(False, True), (True, False), (True, True)]
        assert (a.grad, b.grad) == (1, 1)
    finally:
        del OPS["probe"]


def test_detach_and_no_grad_cut_the_graph():
    x = leaf(2.0)
    assert grad(x * x.detach(), [x])[0] == 2
    with no_grad():
        y = x * x
    assert not y.requires_grad
    assert y.parents == ()
    assert (x * x).requires_grad


def test_gradients_are_dropped_as_the_sweep_passes():
    """At no time are there more than a few gradients alive: a sweep over a long chain must not keep them all."""
    alive, most = [], 0

    def backward(dy, saved):
        nonlocal most
        result = dy + 0
        alive.append(weakref.ref(result))
        most = max(most, sum(r() is not None for r in alive))
        return (result,)

    step = Op("step", lambda x: (x + 0, ()), backward)
    try:
        x = y = leaf(np.zeros(3))
        for _ in range(50):
            y = apply(step, y)
        grad(y, [x], np.ones(3))
    finally:
        del OPS["step"]
    assert most <= 3


def test_graph_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(np.zeros(3))
        y = x * 2.0
        watched = weakref.ref(y)
        z = (y + 1.0).sum()
        z.backward()
        del y, z
        assert watched() is None
    finally:
        gc.enable()


def test_numbers_take_the_precision_of_the_tensor():
    x = Tensor(np.float32(0.1), requires_grad=True)
    y = (1 / (2 * x + 1) - 3) ** 2
    assert y.dtype == np.float32
    assert grad(y, [x])[0].dtype == np.float32
    expected = 2 * (1 / 1.2 - 3) * -2 / 1.2**2
    np.testing.assert_allclose(grad(y, [x])[0], expected, rtol=1e-6)
    np.testing.assert_allclose(float(-x - x / 2.0), -0.15, rtol=1e-6)


def test_operators_on_the_left_of_tensors():
    x = leaf([1.0, 2.0, 4.0])
    y = (1.0 + x - x / 2.0 * 4.0 + 8.0 / x).mean()
    np.testing.assert_allclose(grad(y, [x])[0], (1 - 2 - 8 / x.data**2) / 3)


MATRIX = np.array([[2.0, 3.0], [0.5, 1.5]], np.float32)
SUMS = [(symbol, left) for symbol in ("+", "-", "*", "/", "**") for left in (MATRIX, np.float32(2), 2, 2.0)]


@pytest.mark.parametrize(("symbol", "left"), [*SUMS, ("@", MATRIX)], ids=repr)
def test_arrays_and_numbers_on_the_left(symbol, left):
    """NumPy would take a Tensor for an object, and make an array of Tensors."""
    at = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    x, exact = Tensor(at, requires_grad=True), leaf(at)

    def f(left, x):
        return eval(f"left {symbol} x", {"left": left, "x": x})

    y = f(left, x)
    assert isinstance(y, Tensor)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, f(left, at), rtol=1e-6)
    (dx,) = grad(y, [x], np.ones((2, 2)))
    in_float64 = np.float64(left) if np.ndim(left) else float(left)
    slope = numeric_grad(lambda: f(in_float64, exact).data, exact.data, np.ones((2, 2)))
    np.testing.assert_allclose(dx, slope, rtol=1e-5)


def test_tensors_between_tensors():
    a, b = Tensor(np.eye(2, dtype=np.float32) * 3), Tensor(np.arange(4, dtype=np.float32).reshape(2, 2))
    np.testing.assert_array_equal((a @ b).data, 3 * b.data)
    np.testing.assert_allclose(((b + 1) ** b).data, (b.data + 1) ** b.data, rtol=1e-6)
    with pytest.raises(TypeError):
        np.sqrt(a)  # not an array of objects
    with pytest.raises(TypeError):
        assert np.ones(2) < a


def test_a_fraction_beside_whole_numbers():
    np.testing.assert_array_equal((Tensor(np.array([1, 2])) * 2.5).data, [2.5, 5])


def test_where_precisions_meet_gradients_go_back_in_their_own():
    x = Tensor(np.ones((1, 5, 2), np.float32), requires_grad=True)
    w = Tensor(np.ones((3, 2, 4), np.float32), requires_grad=True)
    y = F.conv1d(x, w)  # its backward takes float32 only
    dx, dw = grad((y * leaf(0.5)).sum(), [x, w])
    assert dx.dtype == dw.dtype == np.float32
    np.testing.assert_array_equal(dx[0, :, 0], [2, 4, 6, 4, 2])
    np.testing.assert_array_equal(grad(y, [x], np.ones(y.shape))[0], 2 * dx)


@pytest.mark.parametrize("exponent", [0, 0.0, 1, 2, 3.5])
def test_powers_of_zero(exponent):
    x = leaf([0.0, 2.0])
    expected = exponent * x.data ** (exponent - 1) if exponent else [0, 0]
    np.testing.assert_array_equal(grad(x**exponent, [x], np.ones(2))[0], expected)


@pytest.mark.parametrize(
    "index",
    [
        np.array([0, 0, 1]),
        [2, -1, 2],
        (slice(None), [1, 1, 0]),
        (np.array([0, 0]), np.array([1, 1])),
        np.array([[True, False], [True, True], [False, False]]),
        (np.array([True, False, True]), 1),
        (Ellipsis, None, np.array([-2, 0])),
        (slice(2, None, -1), 1),
        np.array([], int),
        1,
    ],
    ids=repr,
)
def test_every_use_of_an_entry_counts(index, rng):
    """An index may name an entry twice: dx[index] = dy would keep one of its gradients."""
    x = leaf(rng.normal(size=(3, 2)))
    y = x[index]
    np.testing.assert_array_equal(y.data, x.data[index])
    dy = rng.normal(size=y.shape)
    (dx,) = grad(y, [x], dy)
    np.testing.assert_allclose(dx, numeric_grad(lambda: x.data[index], x.data, dy), atol=1e-8)
