"""The causal networks, layer by layer, as functions of (input, state): what streams and whole files are coded with.

    y, state = stage(x, state, last)        x (1,n,Ci), any n >= 0  ->  y (1,m,Co)

A stage is a layer ready to run, without a memory of its own: all that the past means to the future is in `state`. The
first state is `stage.start()`; `last` says that no more input comes.

    ConvStage            the frames that windows to come will see: in front, the padding; then always the last ones
    ConvTransposeStage   the same; seen from its output it is a convolution too
    ResidualStage        that of its first convolution, and frames that wait for it on the shortcut
    LSTMStage            h and c of every layer

Weight norm is computed and weights are packed, as the engine reads them, once for all streams (codec/kept.py); the
frames of the past and the new ones come to lie in one buffer, which stays; biases and ELU are part of the products, and
so is the sum of a residual unit. States are tuples of arrays (and of such tuples) that nobody modifies.

Every output is summed in the same order whatever the number of frames in a call [kernels/cpu/engine], so any cut
gives the same bits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba
import numpy as np

from minicodec import functional as F
from minicodec.backend import active
from minicodec.codec.kept import Made, kept
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.codec.seanet import ELU, ResidualUnit
from minicodec.codec.windows import shortcut_windows_of, transposed_windows_of, windows_of
from minicodec.kernels.cpu.activations import elu_share
from minicodec.kernels.cpu.engine.products import Packed, pack
from minicodec.kernels.cpu.engine.threads import convoy
from minicodec.kernels.cpu.lstm import LONG, as_panels, run as run_lstm
from minicodec.nn.layers import LSTM, Conv1d, ConvTranspose1d
from minicodec.nn.module import Module
from minicodec.ops.conv1d import output_length
from minicodec.tensor import Tensor

State = Any
Result = tuple[np.ndarray, State]
LayerT = TypeVar("LayerT", bound=Module)


def _kept(layer: LayerT, make: Callable[[LayerT], Made]) -> Made:
    """make(layer), once while its weights stay as they are."""
    return kept(layer, lambda: make(layer), [p.data for p in layer.parameters()])


class Joint:
    """A buffer in which frames of the past and new ones, or ELU of these, come to lie one after the other."""

    def __init__(self, C: int, elu: bool):
        self.room, self.elu = np.empty((1, 0, C), np.float32), elu

    def __call__(self, before: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(1,m,C), (1,n,C) -> (1,m+n,C), valid until the next call."""
        m, n, C = before.shape[1], x.shape[1], x.shape[2]
        if self.room.shape[1] < m + n:
            self.room = np.empty((1, m + n, C), np.float32)
        frames = self.room[:, : m + n]
        frames[:, :m] = before
        if self.elu and active() == "numba":
            elu_share(0, n * C, np.ascontiguousarray(x).reshape(-1), frames[:, m:].reshape(-1))
        else:
            frames[:, m:] = F.elu(x).data if self.elu else x
        return frames


class ConvStage:
    """Conv1d. State: (frames (1,n,Ci) that windows to come will see, is the mirror in front of them still to come?).

    elu_first: of ELU of its input.
    """

    def __init__(self, layer: Conv1d, pad_mode: str | None, activation: str | None = None, elu_first: bool = False):
        self.layer, self.pad_mode, self.activation = layer, pad_mode or layer.pad_mode, activation
        self.windows = _kept(layer, windows_of)
        self.margin, _ = layer.padding(layer.stride)
        self.joint = Joint(self.windows.packed.shape[1], elu_first)
        if self.pad_mode == "reflect" and self.margin < layer.stride - 1:
            raise ValueError(f"conv K={layer.K} stride {layer.stride}: forgets frames that the mirror at the end shows")

    def start(self) -> State:
        mirror = self.pad_mode == "reflect" and self.margin > 0
        return np.zeros((1, 0 if mirror else self.margin, self.windows.packed.shape[1]), np.float32), mirror

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        before, mirror = state
        frames, stride = self.joint(before, x), self.layer.stride
        if mirror and frames.shape[1] <= self.margin and not last:
            return self.windows(frames, 0), (frames.copy(), True)
        left = self.margin if mirror else 0
        right = (self.margin - left - frames.shape[1]) % stride if last else 0  # so that the last window is full
        frames = F.pad1d(Tensor(frames), left, right, self.pad_mode).data if left or right else frames
        count = max(0, output_length(frames.shape[1], self.layer.K, stride, self.layer.dilation))
        return self.windows(frames, count, self.activation), (frames[:, count * stride :].copy(), False)


class ConvTransposeStage:
    """ConvTranspose1d. State: the last frames (1,J-1,Ci), J as in codec/windows.py."""

    def __init__(self, layer: ConvTranspose1d):
        self.windows = _kept(layer, transposed_windows_of)
        _, Ci, N = self.windows.packed.shape
        self.Co, self.joint = N // layer.stride, Joint(Ci, elu=False)
        self.activation: str | None = None

    def start(self) -> State:
        J, Ci, _ = self.windows.packed.shape
        return np.zeros((1, J - 1, Ci), np.float32)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        n = x.shape[1]
        frames = self.joint(state, x)
        return self.windows(frames, n, self.activation).reshape(1, -1, self.Co), frames[:, n:].copy()


def packed_lstm(lstm: LSTM) -> list[tuple[Packed, Any, np.ndarray]]:
    """The weights of its layers as `ops.lstm.run` reads them."""
    weights = [(layer.weight_ih.data, layer.weight_hh.data, layer.bias.data) for layer in lstm.layers]
    return [(pack(w_ih[None]), as_panels(w_hh, 4, LONG), b.copy()) for w_ih, w_hh, b in weights]


class LSTMStage:
    """LSTM with its skip. State: (h (1,H), c (1,H)) of every layer."""

    def __init__(self, lstm: LSTM):
        self.H = lstm.H
        self.weights = [(layer.weight_ih.data, layer.weight_hh.data, layer.bias.data) for layer in lstm.layers]
        self.packed = _kept(lstm, packed_lstm)

    def start(self) -> State:
        zeros = np.zeros((1, self.H), np.float32)
        return tuple((zeros, zeros) for _ in self.weights)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        if x.shape[1] == 0:
            return x, state
        h, after = x, []
        for weights, packed, (h0, c0) in zip(self.weights, self.packed, state, strict=True):
            if active() == "numba":
                _, y = run_lstm(h, *packed, h0, c0)
                h, c = np.ascontiguousarray(y[..., : self.H]), y[..., self.H :]
            else:
                h, c = (part.data for part in F.lstm(h, *weights, h0, c0))
            after.append((h[:, -1].copy(), c[:, -1].copy()))
        return h + x, tuple(after)


class ELUStage:
    """ELU, which has no past."""

    def start(self) -> State:
        return ()

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        return F.elu(x).data, ()


class ResidualStage:
    """ResidualUnit. State: (its first convolution's, frames (1,n,C) of the shortcut that wait for the block's).

    The block's last product and the shortcut's are one.
    """

    def __init__(self, unit: ResidualUnit, pad_mode: str | None):
        _, first, _, second = unit.block
        assert isinstance(first, Conv1d)
        assert isinstance(second, Conv1d)
        self.first = ConvStage(first, pad_mode, "elu", elu_first=True)
        self.second = _kept(second, windows_of)
        self.shortcut = None if unit.shortcut is None else _kept(unit, shortcut_windows_of)
        self.activation: str | None = None

    def start(self) -> State:
        return self.first.start(), np.zeros((1, 0, self.second.packed.shape[2]), np.float32)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        in_first, waiting = state
        h, in_first = self.first(x, in_first, last)
        n = h.shape[1]
        x = np.concatenate([waiting, x], axis=1) if waiting.shape[1] else x
        if self.shortcut is None:
            y = self.second(h, n, self.activation, add_to=x[:, :n].copy())
        else:
            y = self.shortcut(x, n, self.activation, also=(h, self.second.packed))
        return y, (in_first, x[:, n:].copy())


class QuantizerStage:
    """Latents (1,n,D) to codes (1,n,Q), which have no past."""

    def __init__(self, quantizer: ResidualVectorQuantizer, levels: int):
        self.quantizer, self.levels = quantizer, levels
        self.packed = quantizer.packed(levels)

    def start(self) -> State:
        return ()

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        codes = self.quantizer.encode(x[0], self.levels, self.packed)
        return np.ascontiguousarray(codes.T[None]), ()


Stage = ConvStage | ConvTransposeStage | LSTMStage | ELUStage | ResidualStage | QuantizerStage


class Chain:
    """Layers one after the other. State: a tuple of theirs. ValueError: a layer that looks into the future."""

    def __init__(self, layers: list[Module], pad_mode: str | None):
        self.stages: list[Stage] = []
        for layer in layers:
            before = self.stages[-1] if self.stages else None
            if isinstance(layer, ELU) and isinstance(before, ConvStage | ConvTransposeStage | ResidualStage):
                before.activation = "elu"
            else:
                self.stages.append(_stage(layer, pad_mode))

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
        done = convoy(numba.get_num_threads(), list(zip(pieces, ends, strict=True)), steps)
        return [y for y, _ in done], tuple(states)


def _stage(layer: Module, pad_mode: str | None) -> Stage:
    match layer:
        case ELU():
            return ELUStage()
        case LSTM():
            return LSTMStage(layer)
        case ResidualUnit():
            return ResidualStage(layer, pad_mode)
        case Conv1d(causal=True):
            return ConvStage(layer, pad_mode)
        case ConvTranspose1d(causal=True):
            return ConvTransposeStage(layer)
    raise ValueError("a layer that looks into the future cannot stream")
