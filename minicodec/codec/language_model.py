"""The language model of codes: a causal Transformer that predicts the next frame's codes [Defossez22, §3.3].

    codes of the frames so far          Q embeddings, one for each codebook, added up: a vector of D numbers a frame
    + position                          cosines and sines of D/2 speeds
    layers                              attention to the last 3.5 s, then two linear maps, each with a skip and a norm
    Q linear maps                       logits of the next frame's codes: all codebooks at once, independently

An entropy coder spends -log2 p bits on a code of probability p, so good predictions make small files. The reader needs
the same probabilities as the writer; `entropy/` says what that means.

The past can be kept: the keys and values of the frames before are all that a later frame needs of them. The published
models let attention also see one vector of zeros, as if it were a frame before the first (`zero_past`); ours begin with
nothing but START.
"""

import hashlib
import json
import math
from copy import deepcopy
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicodec import functional as F
from minicodec.backend import xp
from minicodec.codec import weights
from minicodec.device import host
from minicodec.errors import InputError, brief
from minicodec.nn.layers import Embedding, LayerNorm, Linear
from minicodec.nn.module import Module
from minicodec.tensor import Tensor, no_grad

START = 0  # what stands for the codes before the first frame; code c is number c + 1
SECONDS = 3.5  # of the past that attention sees
SLOWEST = 10_000  # period, over 2π frames, of the slowest cosine of the positions
METADATA_KEY = "minicodec_lm"  # in a safetensors file
SIZE_LIMIT = 1 << 16  # of any number in a configuration
LIMITS = {"Q": 1 << 10, "layers": 64}  # of numbers of parts
NUMBERS_LIMIT = 1 << 26  # of all weights together; the published ones have 1 << 24
RUN_LM = "lm.safetensors"  # in a training run's folder, beside the codec it belongs to


@dataclass(frozen=True)
class LanguageModelConfig:
    """The sizes of a language model. The defaults are those of the published ones.

    Q, N       codebooks, and the entries of each
    context    frames of the past that attention sees, the newest not counted
    D, layers, heads, hidden     width of a frame's vector; number of layers; attention heads; width between the linear
               maps of a layer
    zero_past  may attention also see a vector of zeros before the first frame?
    """

    Q: int
    N: int
    context: int
    D: int = 200
    layers: int = 5
    heads: int = 8
    hidden: int = 800
    zero_past: bool = True

    def __post_init__(self) -> None:
        wrong = [name for name, size in asdict(self).items() if name != "zero_past" and size < 1]
        wrong += ["heads"] * (not wrong and self.D % self.heads > 0) + ["D"] * (self.D % 2 or self.D < 4)
        if wrong:
            sizes = ", ".join(f"{name} = {getattr(self, name)}" for name in wrong)
            raise ValueError(f"{sizes} cannot be used: D is a multiple of heads and of 2, from 4, the others 1 or more")


class Past(NamedTuple):
    """What a model keeps of the frames so far: keys and values (B,heads,P,D/heads) of each layer; their number."""

    layers: list[tuple[Tensor, Tensor]]
    frames: int


class LanguageModel(Module):
    """A model of the sizes `config`, for the codes of the codec with the name `codec` (see `Codec.name`)."""

    def __init__(self, config: LanguageModelConfig, *, codec: str = "", rng: np.random.Generator):
        self.config, self.codec = config, codec
        D, N = config.D, config.N
        self.embeddings = [Embedding(N + 1, D, rng=rng) for _ in range(config.Q)]
        self.norm_in = LayerNorm(D)
        self.layers = [TransformerLayer(D, config.heads, config.hidden, rng=rng) for _ in range(config.layers)]
        self.outputs = [Linear(D, N, rng=rng) for _ in range(config.Q)]

    def __repr__(self) -> str:
        c, weights = self.config, sum(p.data.size for p in self.parameters()) / 1e6
        return f"LanguageModel(of {self.codec or 'no codec'}: {c.Q} codebooks of {c.N}, {weights:.3g} million weights)"

    def start(self, B: int) -> Past:
        """The past of B sequences before their first frame: nothing, or one vector of zeros."""
        D, heads, array = self.config.D, self.config.heads, xp(self.norm_in.weight.data)
        if self.config.zero_past:
            zeros = Tensor(array.zeros((B, 1, D), np.float32))
            return Past([layer.project(zeros)[1:] for layer in self.layers], 0)
        nothing = Tensor(array.zeros((B, heads, 0, D // heads), np.float32))
        return Past([(nothing, nothing) for _ in self.layers], 0)

    def __call__(self, codes: np.ndarray, past: Past) -> tuple[Tensor, Past]:
        """The frames before those to predict, codes (B,Q,T) as numbers 0 … N -> logits (B,T,Q,N), and the past then.

        Q may be less than all codebooks: a lower bitrate. To predict the first frame, the number before it is START.
        """
        x, past = self.features(codes, past)
        logits = [output(x).reshape(*x.shape[:2], 1, self.config.N) for output in self.outputs[: codes.shape[1]]]
        return F.concatenate(logits, axis=2), past

    def features(self, codes: np.ndarray, past: Past) -> tuple[Tensor, Past]:
        """The same, but for the last linear maps: codes (B,Q,T) -> x (B,T,D), and the past then."""
        _, Q, T = codes.shape
        context, array = self.config.context, xp(self.norm_in.weight.data)
        codes = array.asarray(codes)
        x = self.embeddings[0](codes[:, 0])
        for q in range(1, Q):
            x = x + self.embeddings[q](codes[:, q])
        x = self.norm_in(x) + array.asarray(positions(past.frames, T, x.shape[-1]))
        P = past.layers[0][0].shape[2]
        delay = (P + np.arange(T))[:, None] - np.arange(P + T)
        mask = np.where((delay >= 0) & (delay <= context), 0, -np.inf).astype(np.float32)
        newest = []
        for layer, (keys, values) in zip(self.layers, past.layers, strict=True):
            x, keys, values = layer(x, keys, values, array.asarray(mask))
            newest.append((keys[:, :, -context:], values[:, :, -context:]))
        return x, Past(newest, past.frames + T)

    def probabilities(self, codes: np.ndarray, past: Past) -> tuple[np.ndarray, Past]:
        """The same, as probabilities (B,T,Q,N), for coding."""
        with no_grad():
            logits, past = self(codes, past)
            return F.softmax(logits).data, past

    @property
    def digest(self) -> str:
        """A hash of sizes and weights, 64 hexadecimal digits: models with the same one predict the same."""
        digest = hashlib.sha256(json.dumps(asdict(self.config)).encode())
        for _, array in sorted(self.state_dict().items()):
            digest.update(np.ascontiguousarray(host(array)).data)
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """A name with the first digits of that hash, such as lm-1f6a03c2."""
        return f"lm-{self.digest[:8]}"

    def save(self, path: str | PathLike[str], *, half: bool = False, overwrite: bool = False) -> None:
        """Write weights, sizes and the codec's name to one .safetensors file.

        half: in float16, at half the size. What is loaded then is another model, by a little, and has another name.
        ValueError: a weight is larger than float16 can be (65504).
        """
        saved, arrays = self, {name: host(array) for name, array in self.state_dict().items()}
        if half:
            arrays = weights.halved(arrays)
            saved = deepcopy(self)
            saved.load_state_dict(arrays)
        about = {"codec": self.codec, "config": asdict(self.config), "digest": saved.digest}
        metadata = {METADATA_KEY: json.dumps(about)}
        weights.write(path, arrays, metadata, overwrite)


def holds(path: Path) -> bool:
    """Is it a language model's file?"""
    return path.suffix == ".safetensors" and path.is_file() and METADATA_KEY in weights.read(path)[1]


def load(path: str | PathLike[str]) -> LanguageModel:
    """The model that `LanguageModel.save` wrote. InputError, naming the file, if it is no such file."""
    path = Path(path)
    arrays, metadata = weights.read(path)
    if METADATA_KEY not in metadata:
        raise InputError(f"{path}: is no language model: its sizes are missing from its metadata")
    try:
        about = json.loads(metadata[METADATA_KEY])
        lm = LanguageModel(config_from(about["config"]), codec=str(about["codec"]), rng=weights.blank(arrays))
        weights.check_finite(arrays)
        lm.load_state_dict(arrays)
        if about.get("digest", lm.digest) != lm.digest:  # older files have none
            raise ValueError("weights and sizes are not those that were saved")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}: holds no usable language model: {brief(error, 300)}") from None
    lm.eval()
    return lm


def config_from(values: Any) -> LanguageModelConfig:
    """Sizes from a file. ValueError, TypeError: they are none, or beyond what any codec needs."""
    if not isinstance(values, dict):
        raise ValueError("its sizes are no table")
    for name, size in values.items():
        if type(size) is not (bool if name == "zero_past" else int) or size > LIMITS.get(name, SIZE_LIMIT):
            raise ValueError(f"{brief(name)} = {brief(size)}")
    config = LanguageModelConfig(**values)
    layer = 4 * config.D * config.D + 2 * config.D * config.hidden
    if config.layers * layer + config.Q * config.D * (2 * config.N + 1) > NUMBERS_LIMIT:
        raise ValueError(f"its sizes make more than {NUMBERS_LIMIT} weights")
    return config


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
