"""What the tests of entropy coding share: a codec of 4 frames a second, and language models whose weights are exact."""

import numpy as np

from minicodec.codec.config import CodecConfig, QuantizerConfig
from minicodec.codec.language_model import LanguageModel, LanguageModelConfig
from minicodec.codec.model import Codec
from minicodec.codec.seanet import SEANetConfig

SMALL = SEANetConfig(filters=2, strides=(10, 30), latent=4, lstm_layers=1)


def small_codec(**changes):
    """1200 samples/s, hop 300, 3 codebooks of 16 entries: a chunk of 5 s has 20 frames."""
    networks = {} if "transform" in changes else {"seanet": SMALL}
    config = CodecConfig("small", 1200, 1, (0.016, 0.048), QuantizerConfig(3, 16), **networks, **changes)
    codec = Codec(config)
    codec.quantizer.codebooks[...] = np.random.default_rng(0).normal(size=codec.quantizer.codebooks.shape)
    codec.eval()
    return codec


def exact_lm(Q=3, N=16, codec="", scale=1.0, **sizes):
    """Weights from integers alone, so that they are the same in every version of NumPy."""
    sizes = {"context": 11, "D": 12, "layers": 2, "heads": 2, "hidden": 20, "zero_past": False} | sizes
    lm = LanguageModel(LanguageModelConfig(Q, N, **sizes), codec=codec, rng=np.random.default_rng(0))
    first = 1
    for _, p in sorted(lm.named_parameters()):
        numbers = np.arange(first, first + p.data.size, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(1 << 32)
        p.data[...] = (scale * (numbers / 2**32 - 0.5)).reshape(p.data.shape)
        first += p.data.size
    return lm


def frames(T, Q=3, N=16, B=1, seed=0):
    """Codes (B,Q,T) that a model can learn something about: each is often the one before it."""
    rng = np.random.default_rng(seed)
    fresh = rng.integers(0, N, (B, Q, T))
    keep = rng.random((B, Q, T)) < 0.6
    for t in range(1, T):
        fresh[:, :, t] = np.where(keep[:, :, t], fresh[:, :, t - 1], fresh[:, :, t])
    return fresh


def previous(codes):
    """What a predictor is given for them: START, then all but the last, plus one."""
    return np.concatenate([np.zeros_like(codes[:, :, :1]), codes[:, :, :-1] + 1], axis=2)
