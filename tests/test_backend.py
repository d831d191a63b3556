"""Which implementation runs, in which thread; and what an op may be, and may return."""

import threading

import numpy as np
import pytest

from minicodec import functional as F
from minicodec.backend import OPS, Op, active, use
from minicodec.nn.layers import Conv1d, Conv2d, ConvTranspose1d
from minicodec.ops import arithmetic, reductions
from minicodec.tensor import Tensor, apply, grad, no_grad
from minicodec.training.discriminator import STFTDiscriminator


@pytest.fixture
def ops():
    """What a test adds to the table of ops goes again."""
    before = {name: (op, dict(op.pairs)) for name, op in OPS.items()}
    yield OPS
    OPS.clear()
    for name, (op, pairs) in before.items():
        op.pairs = pairs
        OPS[name] = op


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


def in_another_thread(ask):
    """What `ask` returns there."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(ask()))
    thread.start()
    thread.join()
    return answers[0]


def test_other_threads_go_on_as_they_were():
    x = Tensor(np.ones(2), requires_grad=True)
    with no_grad(), use("numpy"):
        assert active() == "numpy"
        assert not (x * x).requires_grad
        assert in_another_thread(active) == "numba"
        assert in_another_thread(lambda: (x * x).requires_grad)
    assert active() == "numba"
    assert (x * x).requires_grad


# A fused operator on a backend that has its parts only: each part runs on its own pair


def counted(name, calls):
    """Give the backend "student" the op's definition, and count how often it is called."""
    forward, backward = OPS[name].pairs["numpy"]

    def counting(direction, function):
        def run(*args, **attrs):
            calls[name, direction] = calls.get((name, direction), 0) + 1
            return function(*args, **attrs)

        return run

    OPS[name].add("student", counting("forward", forward), counting("backward", backward))


def test_all_convolutions_of_a_discriminator_are_the_students(ops, rng):
    calls = {}
    counted("conv2d", calls)
    network = STFTDiscriminator(64, 2, rng=rng)
    with use("student"):
        logits, _ = network(Tensor(rng.normal(size=(1, 640)).astype(np.float32)))
        grad(logits.sum(), network.parameters())
    assert calls == {("conv2d", "forward"): 6, ("conv2d", "backward"): 6}


@pytest.mark.parametrize(
    ("parts", "call"),
    [
        (["conv1d", "elu", "pad1d"], lambda x, rng: Conv1d(4, 3, 5, rng=rng)(x, elu=True)),
        (["conv_transpose1d", "elu"], lambda x, rng: ConvTranspose1d(4, 3, 4, stride=2, rng=rng)(x, elu=True)),
        (["conv2d", "leaky_relu"], lambda x, rng: Conv2d(4, 2, (3, 3), slope=0.2, rng=rng)(x.reshape(1, 3, 4, 4))),
        (["abs", "sub", "mean"], lambda x, rng: F.l1_loss(x, x.data + 1)),
    ],
    ids=["conv1d_layer", "conv_transpose1d_layer", "conv2d_leaky_relu", "l1_distance"],
)
def test_parts_of_a_fused_operator(ops, parts, call, rng):
    calls = {}
    for part in parts:
        counted(part, calls)
    x = Tensor(rng.normal(size=(1, 12, 4)).astype(np.float32), requires_grad=True)
    with use("student"):
        y = call(x, np.random.default_rng(1))
        (dx,) = grad(y, [x], y.data)
    assert calls == {(part, direction): 1 for part in parts for direction in ("forward", "backward")}
    fused = call(x, np.random.default_rng(1))
    np.testing.assert_allclose(y.data, fused.data, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(dx, grad(fused, [x], fused.data)[0], rtol=1e-5, atol=1e-6)


def test_parts_of_a_residual_unit(ops, rng):
    calls = {}
    counted("conv1d", calls)
    x, w = (Tensor(rng.normal(size=shape).astype(np.float32), requires_grad=True) for shape in [(1, 9, 4), (3, 4, 4)])
    ones, bias = w[:1], w[0, 0]
    with use("student"):
        y = F.residual_unit(x, [(w, bias), (ones, bias), (ones, bias)], left=2, right=0)
        dx, dw = grad(y, [x, w], y.data)
    assert calls == {("conv1d", "forward"): 3, ("conv1d", "backward"): 3}
    fused = F.residual_unit(x, [(w, bias), (ones, bias), (ones, bias)], left=2, right=0)
    for got, expected in zip([dx, dw], grad(fused, [x, w], y.data), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_a_distance_of_two_shapes_on_every_backend(ops):
    """By its parts, it would broadcast."""
    for backend in ("numpy", "numba", "student"):
        with use(backend), pytest.raises(ValueError, match="shapes"):
            F.l1_loss(Tensor(np.ones((2, 3))), np.ones(3))


# An op of one's own


def twice_forward(x):
    return 2 * x, ()


def twice_backward(dy, saved):
    return (2 * dy,)


def test_an_op_defined_again_replaces_the_first(ops):
    """A notebook's cell is run again, with another forward."""
    Op("twice", twice_forward, twice_backward)
    again = Op("twice", lambda x: (x + x, ()), twice_backward)
    assert OPS["twice"] is again


def test_an_op_that_another_module_has_is_not_replaced(ops):
    conv1d = OPS["conv1d"]
    with pytest.raises(ValueError, match=r"'conv1d' exists already, in minicodec\.ops\.conv1d"):
        Op("conv1d", twice_forward, twice_backward)
    assert OPS["conv1d"] is conv1d


@pytest.mark.parametrize(
    ("forward", "error"),
    [
        (lambda x: x * 2, r"its forward must return \(y, saved\), not an array \(2, 3\)"),
        (lambda x: (x, x, x), r"must return \(y, saved\), not a tuple of 3"),
        (lambda x: [x, ()], r"must return \(y, saved\), not a list of 2"),
        (lambda x: None, r"must return \(y, saved\), not None"),
        (lambda x: (None, ()), r"must return \(y, saved\), y an array, not None"),
        (lambda x: (Tensor(x), ()), r"must return \(y, saved\), y an array, not Tensor"),
    ],
)
def test_a_wrong_forward_is_named(ops, forward, error):
    """An array of two rows would fall apart into "y" and "saved"."""
    op = Op("mine", forward, twice_backward)
    with pytest.raises(TypeError, match=f"op mine: .*{error}"):
        apply(op, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("backward", "error"),
    [
        (lambda dy, saved: dy, r"must return a tuple of 1, .*not an array \(1, 3\)"),
        (lambda dy, saved: (dy, dy), r"must return a tuple of 1, .*not a tuple of 2"),
        (lambda dy, saved: None, r"must return a tuple of 1, .*not None"),
        (lambda dy, saved: (dy[0],), r"an array \(1, 3\) of real numbers .* input 0, not an array \(3,\) of float64"),
        (lambda dy, saved: (1.0,), r"an array \(1, 3\) of real numbers as gradient of input 0, not 1\.0"),
        (lambda dy, saved: (dy * 1j,), r"an array \(1, 3\) of real numbers .* not an array \(1, 3\) of complex128"),
        (lambda dy, saved: ([dy],), r"an array \(1, 3\) of real numbers .* not a list of 1"),
    ],
)
def test_a_wrong_backward_is_named(ops, backward, error):
    """An array of one row would pass for a tuple of one gradient, and lose an axis."""
    op = Op("mine", twice_forward, backward)
    x = Tensor(np.ones((1, 3)), requires_grad=True)
    with pytest.raises((TypeError, ValueError), match=f"op mine: its backward .*{error}"):
        grad(apply(op, x), [x], np.ones((1, 3)))
