"""The language model of codes: a causal Transformer that predicts the next frame's codes [Defossez22, §3.3].

    codes of the frames so far          Q embeddings, one for each codebook, added up: a vector of D numbers a frame
    + position                          cosines and sines of 100 speeds
    5 layers                            attention to the last 3.5 s, then two linear maps, each with a skip and a norm
    Q linear maps                       logits of the next frame's codes: all codebooks at once, independently

An entropy coder spends -log2 p bits on a code of probability p, so good predictions make small files. The reader needs
the same probabilities as the writer; `range_coded.py` says what that means.

The past can be kept: the keys and values of the frames before are all that a later frame needs of them. The published
model lets attention also see one vector of zeros, as if it were a frame before the first.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from minicodec import functional as F
from minicodec.nn.layers import Embedding, LayerNorm, Linear
from minicodec.nn.module import Module
from minicodec.tensor import Tensor, no_grad

START = 0  # what stands for the codes before the first frame; code c is number c + 1
SECONDS = 3.5  # of the past that attention sees
SLOWEST = 10_000  # period, over 2π frames, of the slowest cosine of the positions


class Past(NamedTuple):
    """What a model keeps of the frames so far: keys and values (B,heads,P,D/heads) of each layer; their number."""

    layers: list[tuple[Tensor, Tensor]]
    frames: int


class LanguageModel(Module):
    """Q codebooks of N entries; attention reaches back `context` frames.

    The widths are those of the published models, D = 200 with 8 heads.
    """

    def __init__(self, Q: int, N: int, context: int, *, rng: np.random.Generator):
        D, layers, self.heads, self.context = 200, 5, 8, context
        self.embeddings = [Embedding(N + 1, D, rng=rng) for _ in range(Q)]
        self.norm_in = LayerNorm(D)
        self.layers = [TransformerLayer(D, self.heads, 4 * D, rng=rng) for _ in range(layers)]
        self.outputs = [Linear(D, N, rng=rng) for _ in range(Q)]

    def start(self, B: int) -> Past:
        """The past of B sequences before their first frame: one vector of zeros."""
        zeros = Tensor(np.zeros((B, 1, len(self.norm_in.bias)), np.float32))
        return Past([layer.project(zeros)[1:] for layer in self.layers], 0)

    def __call__(self, codes: np.ndarray, past: Past) -> tuple[Tensor, Past]:
        """The frames before those to predict, codes (B,Q,T) as numbers 0 … N -> logits (B,T,Q,N), and the past then.

        Q may be less than all codebooks: a lower bitrate. To predict the first frame, the number before it is START.
        """
        _, Q, T = codes.shape
        x = self.embeddings[0](codes[:, 0])
        for q in range(1, Q):
            x = x + self.embeddings[q](codes[:, q])
        x = self.norm_in(x) + positions(past.frames, T, x.shape[-1])
        P = past.layers[0][0].shape[2]
        delay = (P + np.arange(T))[:, None] - np.arange(P + T)
        mask = np.where((delay >= 0) & (delay <= self.context), 0, -np.inf).astype(np.float32)
        kept = []
        for layer, (keys, values) in zip(self.layers, past.layers, strict=True):
            x, keys, values = layer(x, keys, values, mask)
            kept.append((keys[:, :, -self.context :], values[:, :, -self.context :]))
        B, D = x.shape[0], self.outputs[0].weight.shape[1]
        logits = [output(x).reshape(B, T, 1, D) for output in self.outputs[:Q]]
        return F.concatenate(logits, axis=2), Past(kept, past.frames + T)

    def probabilities(self, codes: np.ndarray, past: Past) -> tuple[np.ndarray, Past]:
        """The same, as probabilities (B,T,Q,N), for coding."""
        with no_grad():
            logits, past = self(codes, past)
            return F.softmax(logits).data, past


class TransformerLayer(Module):
    """Attention, then two linear maps, each with a skip over it and a norm behind it [Vaswani17, §3]."""

    def __init__(self, D: int, heads: int, hidden: int, *, rng: np.random.Generator):
        self.heads = heads
        self.attention_in = Linear(D, 3 * D, rng=rng)  # queries, keys, values
        self.attention_out = Linear(D, D, rng=rng)
        self.norm1 = LayerNorm(D)
        self.linear1 = Linear(D, hidden, rng=rng)
        self.linear2 = Linear(hidden, D, rng=rng)
        self.norm2 = LayerNorm(D)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B,T,D) -> queries, keys, values (B,heads,T,D/heads)."""
        B, T, D = x.shape
        qkv = self.attention_in(x).reshape(B, T, 3, self.heads, D // self.heads).transpose(2, 0, 3, 1, 4)
        return qkv[0], qkv[1], qkv[2]

    def __call__(self, x: Tensor, keys: Tensor, values: Tensor, mask: Any) -> tuple[Tensor, Tensor, Tensor]:
        """x (B,T,D), the past's keys and values -> y (B,T,D), and the keys and values of past and x."""
        queries, new_keys, new_values = self.project(x)
        keys, values = F.concatenate([keys, new_keys], axis=2), F.concatenate([values, new_values], axis=2)
        scores = F.matmul(queries, keys.transpose(0, 1, 3, 2)) * (1 / math.sqrt(queries.shape[-1])) + mask
        attended = F.matmul(F.softmax(scores), values).transpose(0, 2, 1, 3).reshape(*x.shape)
        x = self.norm1(x + self.attention_out(attended))
        return self.norm2(x + self.linear2(F.gelu(self.linear1(x)))), keys, values


def positions(first: int, T: int, D: int) -> np.ndarray:
    """(T,D): cosines, then sines, of the frame's number at D/2 speeds from 1 down to 1/SLOWEST."""
    half = D // 2
    periods = np.float32(SLOWEST) ** (np.arange(half, dtype=np.float32) / np.float32(half - 1))
    phase = np.arange(first, first + T, dtype=np.float32)[:, None] / periods
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
