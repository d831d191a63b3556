"""Weights under other names: the models of the released `encodec` package and of `transformers` become ours.

The networks are the same; three things differ. Names: a conv is wrapped once or twice there (`conv.conv`), a codebook
is a module. Layout: theirs is channels first, so weights are transposed, once, here. And PyTorch's LSTM has two biases
that only ever appear as a sum.

So each array of ours has a `Source`: the arrays there that it is made of, the shape they must have, and how.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.nn.layers import LSTM, Conv1d, ConvTranspose1d, Embedding, GroupNorm, LayerNorm, Linear
from minicodec.nn.module import Module

# Where each axis of ours stands in theirs.
CONV_AXES = (2, 1, 0)  # (Co,Ci,K) -> (K,Ci,Co)
CONV_TRANSPOSE_AXES = (2, 0, 1)  # (Ci,Co,K) -> (K,Ci,Co)
LINEAR_AXES = (1, 0)  # (Co,Ci) -> (Ci,Co), and (4H,Ci) -> (Ci,4H)

QUANTIZER = {"codebooks": "embed", "counts": "cluster_size", "sums": "embed_avg", "updates": "inited"}

NAMED_AT_MOST = 5  # wrong names in a message


class Source(NamedTuple):
    """An array of ours is combine(*arrays), of the arrays with these names, which all have this shape."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    combine: Callable[..., np.ndarray]


@dataclass(frozen=True)
class Naming:
    """How another program names what we have: prefixes, with their dots.

    parts            ours -> theirs, where they differ
    conv             of the weights of a Conv1d, and of its norm; conv_transpose likewise
    weight_norm      our names of a weight's length and direction -> theirs
    codebook         of level {}
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    conv: tuple[str, str] = ("conv.", "norm.")
    conv_transpose: tuple[str, str] = ("conv.", "norm.")
    weight_norm: Mapping[str, str] = field(default_factory=dict)
    codebook: str = "layers.{}.codebook."

    def part(self, ours: str) -> str:
        """The name of a part, such as "layers.3." -> "model.3."."""
        for prefix, theirs in self.parts.items():
            if ours.startswith(prefix):
                return theirs + ours.removeprefix(prefix)
        return ours


ENCODEC = Naming(
    parts={"layers.": "model."},
    conv=("conv.conv.", "conv.norm."),
    conv_transpose=("convtr.convtr.", "convtr.norm."),
    codebook="vq.layers.{}._codebook.",
)
TRANSFORMERS = Naming()
TRANSFORMERS_PARAMETRIZED = Naming(  # as it names the weights since PyTorch has parametrizations
    weight_norm={"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"},
)
LANGUAGE_MODEL = Naming(  # of the `encodec` package
    parts={
        "embeddings.": "emb.",
        "outputs.": "linears.",
        "norm_in.": "transformer.norm_in.",
        "layers.": "transformer.layers.",
        "attention_in.": "self_attn.in_proj_",
        "attention_out.": "self_attn.out_proj.",
    },
)


def take_over(module: Module, state: Mapping[str, np.ndarray], naming: Naming) -> None:
    """Fill a module with the arrays of another program's state dict.

    Raises ValueError that lists missing, surplus or misshapen names, as they are there; then nothing has been changed.
    """
    wanted = dict(sources(module, naming))
    shapes = {name: source.shape for source in wanted.values() for name in source.names}
    wrong = [f"missing {name}" for name in shapes if name not in state]
    wrong += [f"surplus {name[:200]}" for name in state if name not in shapes]
    wrong += [
        f"{name} has shape {state[name].shape}, expected {shape}"
        for name, shape in shapes.items()
        if name in state and state[name].shape != shape
    ]
    if wrong:
        more = f"; and {len(wrong) - NAMED_AT_MOST} more" if len(wrong) > NAMED_AT_MOST else ""
        raise ValueError("; ".join(wrong[:NAMED_AT_MOST]) + more)
    ours = {key: source.combine(*(state[name] for name in source.names)) for key, source in wanted.items()}
    module.load_state_dict(module.state_dict() | ours)


def sources(module: Module, naming: Naming, ours: str = "", theirs: str = "") -> Iterator[tuple[str, Source]]:
    """(name, its source) of everything in a module that stands at the path `ours` here and `theirs` there."""
    match module:
        case Conv1d() | ConvTranspose1d():
            transposed = isinstance(module, ConvTranspose1d)
            weights, norm = naming.conv_transpose if transposed else naming.conv
            axes = CONV_TRANSPOSE_AXES if transposed else CONV_AXES
            yield f"{ours}bias", _same(f"{theirs}{weights}bias", module.bias)
            for name in ("weight", "weight_g", "weight_v"):
                if (array := getattr(module, name, None)) is not None:
                    their_name = theirs + weights + naming.weight_norm.get(name, name)
                    yield ours + name, _transposed(their_name, array, axes)
            if module.norm is not None:
                yield from sources(module.norm, naming, f"{ours}norm.", theirs + norm)
        case LSTM():
            for i, layer in enumerate(module.layers):
                for name in ("weight_ih", "weight_hh"):
                    their_name = f"{theirs}lstm.{name}_l{i}"
                    yield f"{ours}layers.{i}.{name}", _transposed(their_name, getattr(layer, name), LINEAR_AXES)
                biases = (f"{theirs}lstm.bias_ih_l{i}", f"{theirs}lstm.bias_hh_l{i}")
                yield f"{ours}layers.{i}.bias", Source(biases, layer.bias.shape, np.add)
        case Linear():
            yield f"{ours}weight", _transposed(f"{theirs}weight", module.weight, LINEAR_AXES)
            yield f"{ours}bias", _same(f"{theirs}bias", module.bias)
        case Embedding() | GroupNorm() | LayerNorm():
            for name, parameter in module.named_parameters():
                yield ours + name, _same(theirs + name, parameter)
        case ResidualVectorQuantizer():
            levels = [theirs + naming.codebook.format(q) for q in range(module.levels)]
            for name, their_name in QUANTIZER.items():
                names = tuple(level + their_name for level in levels)
                shape = getattr(module, name).shape[1:] or (1,)
                yield ours + name, Source(names, shape, _stack)
        case _:
            for name, part in module.parts():
                yield from sources(part, naming, f"{ours}{name}.", theirs + naming.part(f"{name}."))


def _same(name: str, array: Any) -> Source:
    return Source((name,), array.shape, np.asarray)


def _transposed(name: str, array: Any, axes: tuple[int, ...]) -> Source:
    shape = tuple(n for _, n in sorted(zip(axes, array.shape, strict=True)))
    return Source((name,), shape, partial(np.transpose, axes=axes))


def _stack(*arrays: np.ndarray) -> np.ndarray:
    """The arrays of all levels as one; `inited`, which has one number per level, as a vector of these."""
    stacked = np.stack(arrays)
    return stacked[:, 0] if stacked.shape[1:] == (1,) else stacked
