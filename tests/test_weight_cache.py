"""What is made of weights is made once, and anew as soon as one bit of them has changed, by whomever."""

from copy import deepcopy

import numpy as np
import pytest

from minicodec.codec.config import CodecConfig, QuantizerConfig
from minicodec.codec.model import Codec
from minicodec.codec.seanet import SEANetConfig
from minicodec.codec.streaming.convolution import ConvStage
from minicodec.codec.streaming.stages import Chain
from minicodec.codec.weight_cache import fingerprint
from minicodec.kernels.cpu.fingerprint import LANES
from minicodec.nn.optim import Adam


def noise(*shape):
    return (0.3 * np.random.default_rng(0).normal(size=shape)).astype(np.float32)


@pytest.fixture
def codec():
    seanet = SEANetConfig(filters=4, latent=6, strides=(2, 3))
    return Codec(CodecConfig("small", 600, 1, (1.6,), QuantizerConfig(4, 16), seanet), seed=1)


def packed(codec):
    """The first convolution's weights as the engine reads them."""
    stage = Chain(codec.encoder.layers, None).stages[0]
    assert isinstance(stage, ConvStage)
    return stage.convolution.packed().packed.panels


def test_weights_that_stay_are_packed_once(codec):
    assert packed(codec) is packed(codec)
    assert codec.quantizer.packed(4).panels is codec.quantizer.packed(4).panels
    assert packed(deepcopy(codec)) is not packed(codec)


CHANGES = {
    "in place": lambda a: np.add(a, 0.01, out=a),
    "one bit": lambda a: a.reshape(-1).view(np.uint32).__setitem__(-1, a.reshape(-1).view(np.uint32)[-1] ^ (1 << 22)),
    "two exchanged": lambda a: a.reshape(-1).__setitem__([0, -1], a.reshape(-1)[[-1, 0]]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_is_missed(change, codec):
    """Every array of the model in turn: what comes out is what a copy, which has never been used, gives."""
    wav, codes = noise(1, 200), np.random.default_rng(1).integers(0, 16, (4, 7))
    outputs = lambda model: (  # noqa: E731
        Chain(model.encoder.layers, None)(wav.reshape(1, -1, 1), Chain(model.encoder.layers, None).start(), True)[0],
        model.quantizer.encode(noise(60, model.config.network.latent), 4),
        model.stream_decoder(pad_mode="zero").push(codes),
    )
    before, changed = outputs(codec), 0
    unused = {"quantizer.counts", "quantizer.sums", "quantizer.updates", "quantizer.waiting"}
    for name, array in codec.state_dict().items():
        if name in unused:
            continue
        CHANGES[change](array if name != "quantizer.codebooks" else array[2])
        after, fresh = outputs(codec), outputs(deepcopy(codec))
        for a, b in zip(after, fresh, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
        changed += any(not np.array_equal(a, b) for a, b in zip(after, before, strict=True))
        before = after
    assert changed >= 0.9 * (len(codec.state_dict()) - len(unused))


def test_an_optimiser_s_step_and_loaded_weights_count(codec):
    wav = noise(1, 300)
    parameters = dict(codec.named_parameters())
    first, state = codec.decode(codec.encode(wav)), {name: a.copy() for name, a in codec.state_dict().items()}
    for p in parameters.values():
        p.grad = np.ones_like(p.data)
    Adam(parameters, lr=0.01).step()
    second = codec.decode(codec.encode(wav))
    fresh = deepcopy(codec)
    np.testing.assert_array_equal(second, fresh.decode(fresh.encode(wav)))
    assert not np.array_equal(second, first)
    codec.load_state_dict(state)
    np.testing.assert_array_equal(codec.decode(codec.encode(wav)), first)


@pytest.mark.parametrize("size", [1, LANES - 1, LANES, 3 * LANES + 5])
def test_the_fingerprint_sees_every_number_and_its_place(size, rng):
    a = rng.integers(0, 2, size).astype(np.float32) + 1  # 1 and 2 differ in few bits, and only in high ones
    seen = {fingerprint([a])}
    for i in range(size):
        b = a.copy()
        b[i] = 3 - b[i]
        seen.add(fingerprint([b]))
    assert len(seen) == size + 1
    for i in range(LANES, size):  # in one lane, some rows apart
        b = a.copy()
        b[i], b[i - LANES] = a[i - LANES], a[i]
        assert (fingerprint([b]) == fingerprint([a])) == (a[i] == a[i - LANES])


def test_numbers_exchanged_far_apart():
    """Powers of two, a power of two apart: a sum of words times powers of an odd number would not see it."""
    a = np.ones(4096 * LANES, np.float32)
    a[0] = 2
    b = np.ones_like(a)
    prints = {fingerprint([a])}
    for rows in (1, 32, 512, 4095):
        b[:] = 1
        b[rows * LANES] = 2
        prints.add(fingerprint([b]))
    assert len(prints) == 5


def test_the_fingerprint_sees_how_many_zeros():
    zeros = [np.zeros(n, np.float32) for n in (0, 1, LANES, 2 * LANES)]
    assert len({fingerprint([a]) for a in zeros} | {fingerprint([zeros[1], zeros[1]]), fingerprint([])}) == 6
