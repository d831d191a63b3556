"""The language model for coding: codes so far -> how often each next code is to be expected, in integers.

The network is that of `codec/language_model.py`, with its weights; its arithmetic is that of ops/exact.py, so the
integers are the same on every machine, on one thread or many, for one sequence or a hundred at once, and whether frames
come all together (the encoder knows them) or one after the other (the decoder does not).
"""

from types import ModuleType
from typing import Any

import numpy as np

from minicodec import backend
from minicodec.backend import xp
from minicodec.codec.files.entropy.positions import Positions
from minicodec.codec.language_model import LanguageModel
from minicodec.errors import InputError
from minicodec.nn.layers import LayerNorm, Linear
from minicodec.ops import exact

LARGEST = 1e4  # of any weight: trained ones are below 100, and with these no sum can exceed the floats


class Past:
    """What B sequences were so far: keys and values of each layer in rings, and how many frames went into them."""

    def __init__(self, predictor: "Predictor", B: int):
        config = predictor.config
        d, W = config.D // config.heads, config.context + 1
        zeros = xp(predictor.tables).zeros
        self.rings = [
            (zeros((B, config.heads, d, W), np.float32), zeros((B, config.heads, W, d), np.float32))
            for _ in predictor.layers
        ]
        self.frames = 0
        self.positions = Positions(config.D)


class Predictor:
    """A language model, with the outputs for the first `codebooks` codebooks.

    ValueError: more codebooks than the model has. InputError: weights that no training makes.
    """

    def __init__(self, lm: LanguageModel, codebooks: int):
        if not 1 <= codebooks <= lm.config.Q:
            raise ValueError(f"{codebooks} codebooks; the language model has {lm.config.Q}")
        if any(not abs(p.data).max() <= LARGEST for p in lm.parameters()):  # NaN neither
            raise InputError(f"the language model has weights beyond {LARGEST:g}, or that are not numbers")
        self.name = f"lm-{lm.digest[:16]}"  # in the header of files
        self.config, self.codebooks = lm.config, codebooks
        array = xp(lm.norm_in.weight.data)
        self.tables = array.stack([embedding.weight.data for embedding in lm.embeddings[:codebooks]])
        self.norm_in = _norm(lm.norm_in)
        self.layers = [
            (
                *(_linear(layer.attention_in), _linear(layer.attention_out), _norm(layer.norm1)),
                *(_linear(layer.linear1), _linear(layer.linear2), _norm(layer.norm2)),
            )
            for layer in lm.layers
        ]
        weights, biases = zip(*map(_linear, lm.outputs[:codebooks]), strict=True)
        self.output = array.concatenate(weights, axis=1), array.concatenate(biases)

    def start(self, B: int) -> Past:
        """The past of B sequences before their first frame."""
        past = Past(self, B)
        if self.config.zero_past:  # attention sees a vector of zeros there, of which keys and values are the biases
            none = xp(self.tables).zeros((B, 1, self.config.D), np.float32)
            for layer, rings in zip(self.layers, past.rings, strict=True):
                self._attend(self._kernels(), none, layer, rings, 0)
            past.frames = 1
        return past

    def __call__(self, previous: np.ndarray, past: Past) -> np.ndarray:
        """The frames before those to predict, as in LanguageModel: (B,Q,T) from 0 … N -> counts (B,T,Q,N+1) int64.

        Row [b,t,q] is exact.cumulative_counts of the symbols there. `past` is moved on by T frames.
        """
        B, Q, T = previous.shape
        D, kernels = self.config.D, self._kernels()
        x = self.tables[0][previous[:, 0]]
        for q in range(1, Q):
            x = x + self.tables[q][previous[:, q]]
        x = kernels.layer_norm(x.reshape(B * T, D), *self.norm_in).reshape(B, T, D)
        x = x + xp(x).asarray(past.positions.next(T))
        for layer, rings in zip(self.layers, past.rings, strict=True):
            attended = self._attend(kernels, x, layer, rings, past.frames)
            _, _, norm1, linear1, linear2, norm2 = layer
            y = kernels.layer_norm(x.reshape(B * T, D) + attended, *norm1)
            z = kernels.linear(kernels.gelu(kernels.linear(y, *linear1)), *linear2)
            x = kernels.layer_norm(y + z, *norm2).reshape(B, T, D)
        past.frames += T
        logits = kernels.linear(x.reshape(B * T, D), *self.output).reshape(B * T * Q, -1)
        counts = kernels.cumulative_counts(logits).reshape(B, T, Q, -1)
        return counts if isinstance(counts, np.ndarray) else counts.get()

    def _attend(self, kernels: ModuleType, x: Any, layer: Any, rings: Any, frame: int) -> Any:
        """x (B,T,D) -> what attention adds to it, (B·T,D)."""
        B, T, D = x.shape
        qkv = kernels.linear(x.reshape(B * T, D), *layer[0]).reshape(B, T, 3 * D)
        return kernels.linear(kernels.attend(qkv, *rings, frame).reshape(B * T, D), *layer[1])

    def _kernels(self) -> ModuleType:
        """Compiled, or the definition: where `use` says so, and for CuPy arrays."""
        if backend.active() != "numba" or not isinstance(self.tables, np.ndarray):
            return exact
        from minicodec.kernels.cpu import exact as compiled

        return compiled


def _linear(layer: Linear) -> tuple[Any, Any]:
    assert layer.bias is not None
    return layer.weight.data, layer.bias.data


def _norm(layer: LayerNorm) -> tuple[Any, Any]:
    return layer.weight.data, layer.bias.data
