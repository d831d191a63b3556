"""Layers as functions of input and state: the same however the input is cut, and what the layers themselves say."""

import numpy as np
import pytest

from minicodec.codec.seanet import ELU, ResidualUnit, SEANetConfig
from minicodec.codec.streaming.stages import Chain
from minicodec.codec.transform import Companding
from minicodec.nn.layers import LSTM, Conv1d, ConvTranspose1d
from minicodec.tensor import Tensor, no_grad

options = {"rng": np.random.default_rng(5)}
MIRROR = SEANetConfig(pad_mode="reflect", residual_kernel=5)
LAYERS = {
    "conv": Conv1d(3, 5, 7, **options),
    "conv, one channel to come": Conv1d(3, 1, 7, **options),
    "conv, dilated": Conv1d(3, 5, 3, dilation=4, **options),
    "conv, strided": Conv1d(3, 5, 10, stride=5, norm="weight_norm", **options),
    "conv, few taps for its stride": Conv1d(3, 5, 4, stride=4, **options),
    "conv 1x1, mirror": Conv1d(3, 5, 1, pad_mode="reflect", **options),
    "conv, dilated, mirror": Conv1d(3, 5, 3, dilation=4, pad_mode="reflect", **options),
    "conv, strided, mirror": Conv1d(3, 5, 10, stride=5, pad_mode="reflect", **options),
    "conv, fewest taps for a mirror": Conv1d(3, 5, 9, stride=5, pad_mode="reflect", **options),
    "conv, one that looks ahead": Conv1d(3, 5, 10, stride=5, ahead=5, **options),
    "conv, one that looks less far ahead": Conv1d(3, 5, 10, stride=5, ahead=3, **options),
    "companding": Companding(0.75, 0.01),
    "transposed": ConvTranspose1d(3, 5, 10, stride=5, norm="weight_norm", **options),
    "transposed, K no multiple": ConvTranspose1d(3, 5, 7, stride=3, **options),
    "lstm": LSTM(3, 2, **options),
    "elu": ELU(),
    "residual, zeros": ResidualUnit(3, SEANetConfig(shortcut="identity"), 2, **options),
    "residual, mirror": ResidualUnit(3, MIRROR, 2, **options),
}


def run_chain(layers, x, sizes):
    """x (T,C) through the streaming counterparts of the layers, in pieces."""
    chain = Chain(layers, None)
    state, parts, t = chain.start(), [], 0
    for size in sizes:
        y, state = chain(x[None, t : t + size], state, t + size >= len(x))
        parts.append(y[0])
        t += size
        if t >= len(x):
            break
    return np.concatenate(parts)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("T", [1, 2, 4, 5, 6, 9, 10, 11, 23])
def test_each_layer_is_the_same_function_in_a_stream(name, T):
    layer, x = LAYERS[name], np.random.default_rng(T).normal(size=(T, 3)).astype(np.float32)
    with no_grad():
        y = layer(Tensor(x[None])).data[0]
    whole = run_chain([layer], x, [T])
    np.testing.assert_allclose(whole, y, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(run_chain([layer], x, [1] * T), whole)
    np.testing.assert_array_equal(run_chain([layer], x, [3, 0, 2, T]), whole)


def test_layers_that_cannot_stream_say_so():
    with pytest.raises(ValueError, match="looks into the future"):
        Chain([Conv1d(1, 1, 3, causal=False, **options)], None)
    with pytest.raises(ValueError, match="forgets frames that the mirror at the end shows"):
        Chain([Conv1d(1, 1, 5, stride=4, pad_mode="reflect", **options)], None)
