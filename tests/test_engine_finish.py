"""What the engine does to finished outputs, sum, bias, activation, derivative; and weights that are packed once."""

import numpy as np
import pytest

from minicodec.kernels.cpu.engine import products as engine
from minicodec.kernels.cpu.engine.loops import DEPTH, GROUP
from minicodec.kernels.cpu.engine.products import COLUMNS, ROWS, multiply, pack
from minicodec.ops.activations import elu_backward, elu_forward, leaky_relu_backward, leaky_relu_forward

FORWARD = {"elu": elu_forward, "leaky_relu": lambda x: leaky_relu_forward(x, slope=0.3)}
SIZES = [
    # batches, rows, taps, P, N
    (1, 1, 1, 5, GROUP * COLUMNS),
    (2, ROWS + 2, 2, 7, GROUP * COLUMNS + 3),
    (1, 3 * ROWS + 1, 1, 300, 2 * GROUP * COLUMNS),
    (1, 2 * ROWS, 1, 20, 1),
    (2, 17 * ROWS + 1, 1, 700, COLUMNS),  # several strips
]


@pytest.fixture(params=SIZES, ids=str)
def product(request, rng):
    """Arguments of a product and what it gives, (B,M,N) in float64."""
    batches, rows, taps, P, N = request.param
    x, w = (rng.normal(size=s).astype(np.float32) for s in [(batches, rows + taps - 1, P), (taps, P, N)])
    steps = {"batch_step": x[0].size, "row_step": P, "tap_step": P}
    return {"x": x, "w": w, **steps}, sum(x[:, k : k + rows].astype(np.float64) @ w[k] for k in range(taps))


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("activation", [None, "elu", "leaky_relu"])
@pytest.mark.parametrize("add", [False, True])
def test_sum_bias_and_activation(product, activation, add, rng):
    args, expected = product
    before, bias = rng.normal(size=expected.shape), rng.normal(size=expected.shape[2])
    expected = expected + bias + (before if add else 0)
    if activation:
        expected, _ = FORWARD[activation](expected)
    out = before.astype(np.float32) if add else np.full(expected.shape, np.nan, np.float32)
    multiply(**args, out=out, add=add, bias=bias.astype(np.float32), activation=activation, slope=0.3)
    close(out, expected)


def test_the_derivative_of_an_activation(product, rng):
    args, dy = product
    z = rng.normal(size=dy.shape)
    for activation, expected in [
        ("elu", elu_backward(dy, z)[0]),
        ("leaky_relu", leaky_relu_backward(dy, z, slope=0.3)[0]),
    ]:
        y = FORWARD[activation](z)[0].astype(np.float32)
        y.flags.writeable = False
        out = np.empty(dy.shape, np.float32)
        close(multiply(**args, out=out, activation=activation, derivative_at=y, slope=0.3), expected)


def test_packed_weights_give_the_same_bits(product):
    args, expected = product
    out = np.empty(expected.shape, np.float32)
    for w in (args["w"], np.asfortranarray(args["w"])):
        packed = multiply(**{**args, "w": pack(w)}, out=np.full(expected.shape, np.nan, np.float32))
        np.testing.assert_array_equal(packed, multiply(**args, out=out))


@pytest.mark.parametrize("P2", [1, 9, 2 * DEPTH + 3])
def test_two_products_at_once_give_the_bits_of_one_after_the_other(product, P2, rng):
    args, expected = product
    B, M, N = expected.shape
    x2, w2, bias = (rng.normal(size=s).astype(np.float32) for s in [(B, M, P2), (1, P2, N), (N,)])
    finish = {"bias": bias, "activation": "elu"}
    together = multiply(**args, out=np.full((B, M, N), np.nan, np.float32), also=(x2, pack(w2)), **finish)
    close(together, elu_forward(expected + x2.astype(np.float64) @ w2[0] + bias)[0])

    one = multiply(**args, out=np.empty((B, M, N), np.float32))
    both = multiply(x2, w2, one, batch_step=M * P2, row_step=P2, add=True, **finish)
    np.testing.assert_array_equal(together, both)


@pytest.mark.parametrize("rows", range(1, 3 * ROWS))
def test_bits_do_not_depend_on_the_rows_beside(rows, rng):
    """Whole tiles, single rows, vectors and remainders of vectors round alike, in the product and in what follows."""
    P, N = 40, GROUP * COLUMNS + 5
    x, w, bias = (rng.normal(size=s).astype(np.float32) for s in [(3 * ROWS, P), (1, P, N), (N,)])
    finish = {"batch_step": 0, "row_step": P, "bias": bias, "activation": "elu"}
    whole = multiply(x, w, np.empty((1, len(x), N), np.float32), **finish)[0]
    some = multiply(x[-rows:], w, np.empty((1, rows, N), np.float32), **finish)[0]
    np.testing.assert_array_equal(some, whole[-rows:])


@pytest.mark.parametrize("bad", [
    {"bias": np.zeros(6, np.float32)}, {"bias": np.zeros(7)}, {"bias": np.zeros((7, 2), np.float32)[:, 0]},
    {"activation": "relu"}, {"derivative_at": np.zeros((2, 3, 7), np.float32)},
    {"activation": "elu", "derivative_at": np.zeros((2, 3, 8), np.float32)},
    {"also": (np.zeros((2, 3, 4), np.float32), pack(np.zeros((1, 5, 7), np.float32)))},
    {"also": (np.zeros((2, 3, 4)), pack(np.zeros((1, 4, 7), np.float32)))},
    {"also": (np.zeros((2, 2, 4), np.float32), pack(np.zeros((1, 4, 7), np.float32)))},
    {"w": pack(np.zeros((1, 9, 7), np.float32))}, {"w": engine.pack(np.zeros((1, 8, 6), np.float32))},
])  # fmt: skip
def test_what_does_not_fit_is_refused(bad):
    good = {"x": np.zeros(48, np.float32), "w": pack(np.zeros((1, 8, 7), np.float32))}
    good |= {"out": np.zeros((2, 3, 7), np.float32), "batch_step": 24, "row_step": 8}
    multiply(**good)
    with pytest.raises(ValueError, match="multiply: "):
        multiply(**{**good, **bad})
