"""Modules find their parameters; layers keep lengths and causality."""

import numpy as np
import pytest

from minicodec import functional as F
from minicodec.nn.layers import LSTM, Conv1d, Conv2d, ConvTranspose1d, Embedding, LayerNorm, Linear
from minicodec.nn.module import Module, parameter
from minicodec.tensor import Tensor


class Network(Module):
    def __init__(self, rng):
        self.first = Linear(3, 2, rng=rng)
        self.rest = [Linear(2, 2, bias=False, rng=rng), LayerNorm(2)]
        self.scale = parameter([1.0])
        self.table = np.arange(4)
        self.size = 3


def test_names_of_parameters_and_buffers(rng):
    net = Network(rng)
    assert [name for name, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "rest.0.weight", "rest.1.weight", "rest.1.bias",
    ]  # fmt: skip
    assert [name for name, _ in net.named_buffers()] == ["table"]
    assert net.state_dict().keys() == {n for n, _ in net.named_parameters()} | {"table"}


def test_train_and_eval_reach_all_parts(rng):
    net = Network(rng)
    net.eval()
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    assert len(list(net.modules())) == 4


def test_state_dict_round_trip_and_what_is_wrong_with_it(rng):
    one, two = Network(rng), Network(rng)
    two.load_state_dict(one.state_dict())
    for name, array in one.state_dict().items():
        np.testing.assert_array_equal(two.state_dict()[name], array)
    two.first.weight.data += 1
    assert (one.first.weight.data != two.first.weight.data).all(), "loading must copy"

    state = {k: v.copy() for k, v in one.state_dict().items()}
    state["stranger"] = state.pop("scale")
    state["table"] = np.arange(5)
    kept = two.first.weight.data.copy()
    with pytest.raises(ValueError, match="missing scale; surplus stranger; table has shape"):
        two.load_state_dict(state)
    np.testing.assert_array_equal(two.first.weight.data, kept, "a refused state must change nothing")


def test_zero_grad(rng):
    net = Network(rng)
    net.first(Tensor(np.ones((1, 3), np.float32))).sum().backward()
    assert net.first.weight.grad is not None
    net.zero_grad()
    assert net.first.weight.grad is None


@pytest.mark.parametrize("T", [1, 2, 3, 7, 40, 41])
@pytest.mark.parametrize(
    ("K", "stride", "dilation"), [(7, 1, 1), (1, 1, 1), (4, 2, 1), (10, 5, 1), (3, 1, 3)],
)
@pytest.mark.parametrize("causal", [True, False])
def test_conv1d_length_and_last_window(causal, K, stride, dilation, T, rng):
    """ceil(T/stride) frames, and the last sample of the input still moves the output."""
    layer = Conv1d(1, 1, K, stride=stride, dilation=dilation, causal=causal, rng=rng)
    layer.weight.data[:] = 1
    x = np.zeros((1, T, 1), np.float32)
    silent = layer(Tensor(x)).data
    assert silent.shape == (1, -(-T // stride), 1)
    x[0, -1] = 1
    assert (layer(Tensor(x)).data != silent).any()


LAYERS = {
    "conv": lambda rng: Conv1d(2, 3, 7, rng=rng),
    "dilated": lambda rng: Conv1d(2, 3, 3, dilation=3, rng=rng),
    "strided": lambda rng: Conv1d(2, 3, 8, stride=4, rng=rng),
    "transposed": lambda rng: ConvTranspose1d(2, 3, 8, stride=4, rng=rng),
    "lstm": lambda rng: LSTM(2, 2, rng=rng),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_future_cannot_change_the_past(name, rng):
    layer = LAYERS[name](rng)
    x = rng.normal(size=(1, 32, 2)).astype(np.float32)
    before = layer(Tensor(x)).data
    for t in (5, 16, 31):
        changed = x.copy()
        changed[:, t:] += 1
        after = layer(Tensor(changed)).data
        past = t * before.shape[1] // 32
        np.testing.assert_allclose(after[:, :past], before[:, :past], atol=1e-6)
        assert np.abs(after[:, past:] - before[:, past:]).max() > 1e-3


def test_centred_layers_are_centred(rng):
    """A symmetric kernel of odd length, not causal: time-reversing the input reverses the output."""
    layer = Conv1d(1, 1, 7, causal=False, rng=rng)
    layer.weight.data[:] = layer.weight.data + layer.weight.data[::-1]
    x = rng.normal(size=(1, 20, 1)).astype(np.float32)
    np.testing.assert_allclose(layer(Tensor(x[:, ::-1].copy())).data[:, ::-1], layer(Tensor(x)).data, atol=1e-6)


def test_embedding_and_linear(rng):
    table = Embedding(5, 3, rng=rng)
    np.testing.assert_array_equal(table(np.array([[4, 0]])).data, table.weight.data[[[4, 0]]])
    layer = Linear(3, 2, rng=rng)
    x = rng.normal(size=(4, 5, 3)).astype(np.float32)
    expected = x @ layer.weight.data + layer.bias.data
    np.testing.assert_allclose(layer(Tensor(x)).data, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"norm": "batch"}, "choose one of"),
        ({"norm": "time_group_norm"}, "cannot be causal"),
        ({"pad_mode": "wrap"}, "choose one of"),
        ({"stride": 4}, "Conv1d: K=3, dilation=1, stride=4: windows must reach each other"),
        ({"stride": 6, "dilation": 2}, "Conv1d: K=3, dilation=2, stride=6: windows must reach each other"),
    ],
)
def test_wrong_options_are_named(options, reason, rng):
    with pytest.raises(ValueError, match=reason):
        Conv1d(1, 1, 3, rng=rng, **options)


def test_windows_that_leave_gaps_or_have_no_middle(rng):
    """Their lengths would not be what the docstrings promise."""
    with pytest.raises(ValueError, match="ConvTranspose1d: K=3, stride=4: windows must reach each other"):
        ConvTranspose1d(1, 1, 3, stride=4, rng=rng)
    for K in [(2, 3), (3, 4)]:
        with pytest.raises(ValueError, match="a window has a middle only where both are odd"):
            Conv2d(1, 1, K, rng=rng)


@pytest.mark.parametrize("elu", [False, True])
@pytest.mark.parametrize(("K", "stride"), [(1, 1), (3, 3), (4, 3), (7, 3)])
def test_conv_transpose1d_length(K, stride, elu, rng):
    layer = ConvTranspose1d(2, 3, K, stride=stride, rng=rng)
    x = rng.normal(size=(1, 4, 2)).astype(np.float32)
    every = F.conv_transpose1d(F.elu(x) if elu else x, layer.weight, stride).data + layer.bias.data
    np.testing.assert_allclose(layer(Tensor(x), elu=elu).data, every[:, : 4 * stride], rtol=1e-5, atol=1e-6)
