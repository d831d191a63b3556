"""The causal networks, layer by layer, as functions of (input, state): what streams and whole files are coded with.

    y, state = stage(x, state, last)        x (1,n,Ci), any n >= 0  ->  y (1,m,Co)

A stage is a layer ready to run, without a memory of its own: all that the past means to the future is in `state`. The
first state is `stage.start()`; `last` says that no more input comes.

    ConvStage            convolution.py
    ConvTransposeStage
    ResidualStage
    LSTMStage            its state: h and c of every layer
    EntrywiseStage       none
    NoiseSignsStage      the number of the next frame
    QuantizerStage       none
    Chain                those of its stages

Weight norm is folded, and weights are packed for the engine, once for all streams (codec/weight_cache.py). States are
tuples of arrays (and of such tuples) that nobody modifies.

Every output is summed in the same order whatever the number of frames in a call [kernels/cpu/engine], so any cut
gives the same bits.
"""

from functools import partial
from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.backend import active
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.codec.seanet import ELU, ResidualUnit
from minicodec.codec.streaming.convolution import ConvStage, ConvTransposeStage, ResidualStage, Result, State
from minicodec.codec.streaming.folded_convolution import kernels
from minicodec.codec.transform import Companding, NoiseSigns
from minicodec.codec.weight_cache import cached
from minicodec.nn.layers import LSTM, Conv1d, ConvTranspose1d
from minicodec.nn.module import Module
from minicodec.tensor import Tensor
from minicodec.threads import pipeline


def packed_lstm(lstm: LSTM) -> list[Any]:
    """Its layers, packed for the Numba backend."""
    weights = [(layer.weight_ih.data, layer.weight_hh.data, layer.bias.data) for layer in lstm.layers]
    return [kernels().PackedLSTM(*of_layer) for of_layer in weights]


class LSTMStage:
    """LSTM with its skip. State: (h (1,H), c (1,H)) of every layer."""

    def __init__(self, lstm: LSTM):
        self.lstm, self.H = lstm, lstm.H
        self.packed = cached(lstm, packed_lstm) if active() == "numba" else None

    def start(self) -> State:
        zeros = np.zeros((1, self.H), np.float32)
        return tuple((zeros, zeros) for _ in self.lstm.layers)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        if x.shape[1] == 0:
            return x, state
        h, after = x, []
        if self.packed is None and active() == "numba":
            self.packed = packed_lstm(self.lstm)
        for i, (layer, (h0, c0)) in enumerate(zip(self.lstm.layers, state, strict=True)):
            if self.packed is not None and active() == "numba":
                h, c = self.packed[i](h, h0, c0)
            else:
                weights = layer.weight_ih.data, layer.weight_hh.data, layer.bias.data
                h, c = (array.data for array in F.lstm(h, *weights, h0, c0))
            after.append((h[:, -1].copy(), c[:, -1].copy()))
        return h + x, tuple(after)


class EntrywiseStage:
    """ELU or companding, which have no past."""

    def __init__(self, layer: ELU | Companding):
        self.layer = layer

    def start(self) -> State:
        return ()

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        if active() == "numba" and isinstance(self.layer, ELU):  # the same bits, at a fifth of the cost for one frame
            y = np.empty_like(x, order="C")
            kernels().elu_into(x, y)
            return y, ()
        return self.layer(Tensor(x)).data, ()


class NoiseSignsStage:
    """Signs that depend on the number of the frame. State: (the number of the next one,). first: of the first one."""

    def __init__(self, layer: NoiseSigns, first: int):
        self.layer, self.first = layer, first

    def start(self) -> State:
        return (self.first,)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        return self.layer(Tensor(x), state[0]).data, (state[0] + x.shape[1],)


class QuantizerStage:
    """Latents (1,n,D) to codes (1,n,Q), which have no past."""

    def __init__(self, quantizer: ResidualVectorQuantizer, levels: int):
        self.quantizer, self.levels = quantizer, levels
        self.packed = quantizer.packed(levels) if active() == "numba" else None

    def start(self) -> State:
        return ()

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        codes = self.quantizer.encode(x[0], self.levels, self.packed)
        return np.ascontiguousarray(codes.T[None]), ()


Stage = ConvStage | ConvTransposeStage | LSTMStage | EntrywiseStage | NoiseSignsStage | ResidualStage | QuantizerStage


class Chain:
    """Layers one after the other, from frame `first` on. State: a tuple of theirs.

    ValueError: a layer that looks into the future.
    """

    def __init__(self, layers: list[Module], pad_mode: str | None, first: int = 0):
        self.stages: list[Stage] = []
        for layer in layers:
            before = self.stages[-1] if self.stages else None
            if isinstance(layer, ELU) and isinstance(before, ConvStage | ConvTransposeStage | ResidualStage):
                before.activation = "elu"
            else:
                self.stages.append(_stage(layer, pad_mode, first))

    def start(self) -> State:
        return tuple(stage.start() for stage in self.stages)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        (y,), state = self.run([x], state, last)
        return y, state

    def run(self, pieces: list[np.ndarray], state: State, last: bool) -> tuple[list[np.ndarray], State]:
        """Several pieces, one after the other, on all threads: a layer that has passed one on takes the next."""
        states, ends = list(state), [False] * len(pieces)
        ends[-1] = last

        def step(i: int, piece: tuple[np.ndarray, bool]) -> tuple[np.ndarray, bool]:
            x, end = piece
            y, states[i] = self.stages[i](x, states[i], end)
            return y, end

        steps = [partial(step, i) for i in range(len(states))]
        done = pipeline(list(zip(pieces, ends, strict=True)), steps)
        return [y for y, _ in done], tuple(states)


def _stage(layer: Module, pad_mode: str | None, first: int) -> Stage:
    match layer:
        case ELU() | Companding():
            return EntrywiseStage(layer)
        case NoiseSigns():
            return NoiseSignsStage(layer, first)
        case LSTM():
            return LSTMStage(layer)
        case ResidualUnit():
            return ResidualStage(layer, pad_mode)
        case Conv1d(causal=True):
            return ConvStage(layer, pad_mode)
        case ConvTranspose1d(causal=True):
            return ConvTransposeStage(layer)
    raise ValueError("a layer that looks into the future cannot stream")
