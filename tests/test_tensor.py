"""The autograd core: paths add up, order is right, memory is freed, and nothing else happens."""

import doctest
import gc
import weakref

import numpy as np
import pytest

import minicodec.tensor
from minicodec.backend import OPS, Op, use
from minicodec.ops import arithmetic, reductions
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
        grad(apply(probe, a, constant), [a, constant])
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


def test_use_chooses_the_backend_and_float64_takes_the_definition():
    fast = (lambda a, b: (a + b + 1, ()), lambda dy, saved: (dy, dy))
    arithmetic.add.add("student", *fast)
    try:
        one = np.ones(1)
        assert apply(arithmetic.add, one, one).data == 2
        with use("student"):
            assert apply(arithmetic.add, one, one).data == 3
            with use("numpy"):
                assert apply(arithmetic.add, one, one).data == 2
            assert apply(reductions.sum, one).data == 1  # a backend without the op: the definition
    finally:
        del arithmetic.add.pairs["student"]
    with pytest.raises(ValueError, match="no backend"), use("fast"):
        pass


def test_float64_never_meets_a_float32_pair():
    op = Op("halves", lambda x: (x / 2, ()), lambda dy, saved: (dy / 2,))
    try:
        op.add("numba", lambda x: (x.astype(np.float32) / 2, ()), lambda dy, saved: (dy / 2,))
        assert op.pair(np.ones(1, np.float32)) == op.pairs["numba"]
        assert op.pair(np.ones(1)) == op.pairs["numpy"]
    finally:
        del OPS["halves"]
