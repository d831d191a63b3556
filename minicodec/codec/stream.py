"""Streaming: the causal networks as functions of (input, state), for live audio and for files of any length.

    y, state = stage(x, state, last)        x (1,n,Ci), any n >= 0  ->  y (1,m,Co)

A stage is a layer with its weights ready to multiply (weight norm is computed once) and no memory of its own: all that
the past means to the future is in `state`. The first state is `stage.start()`; `last` says that no more input comes.

    Conv1d             the frames that windows still to come will see: in front, the padding; then always the last ones
    ConvTranspose1d    the same; seen from its output it is a convolution too
    LSTM               h and c of every layer
    ResidualUnit       both branches' states, and frames of the shortcut that the other branch does not have yet

Every output is summed in the same order whatever the number of frames in a call (ops/engine.py), so any cut gives the
same bits. `Codec` codes whole files through these stages too: there is one path, and its memory does not grow.

Latency. In steady state a frame of input (320 samples at 24 kHz: 13.3 ms) gives a frame of output. Models padded by
reflection, as the published ones, must see the first 80 ms before the mirror in front of them is known: nothing comes
out until then, and all that is due at once. pad_mode="zero" does not wait, and codes the start a little differently.

States are tuples of arrays (and of such tuples) that nobody modifies: keep one to go back to it, pickle it to go on
elsewhere.
"""

from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.codec.quantizer import ResidualVectorQuantizer
from minicodec.codec.seanet import ELU, Decoder, Encoder, ResidualUnit
from minicodec.nn.layers import LSTM, Conv1d, ConvTranspose1d
from minicodec.nn.module import Module
from minicodec.ops.conv1d import output_length
from minicodec.tensor import Tensor

State = Any
Result = tuple[np.ndarray, State]


class ConvStage:
    """Conv1d. State: (frames (1,n,Ci) that windows to come will see, is the mirror in front of them still to come?)."""

    def __init__(self, layer: Conv1d, pad_mode: str | None):
        self.weight, self.bias = layer.effective_weight().data, layer.bias.data
        self.stride, self.dilation, self.pad_mode = layer.stride, layer.dilation, pad_mode or layer.pad_mode
        self.margin, _ = layer.padding(layer.stride)
        if self.pad_mode == "reflect" and self.margin < self.stride - 1:
            raise ValueError(f"conv K={layer.K} stride {layer.stride}: forgets frames that the mirror at the end shows")

    def start(self) -> State:
        mirror = self.pad_mode == "reflect" and self.margin > 0
        return np.zeros((1, 0 if mirror else self.margin, self.weight.shape[1]), np.float32), mirror

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        before, mirror = state
        frames = np.concatenate([before, x], axis=1)
        if mirror and frames.shape[1] <= self.margin and not last:
            return self._windows(frames, 0), (frames, True)
        left = self.margin if mirror else 0
        right = (self.margin - left - frames.shape[1]) % self.stride if last else 0  # so that the last window is full
        frames = F.pad1d(Tensor(frames), left, right, self.pad_mode).data
        count = max(0, output_length(frames.shape[1], len(self.weight), self.stride, self.dilation))
        return self._windows(frames, count), (frames[:, count * self.stride :].copy(), False)

    def _windows(self, frames: np.ndarray, count: int) -> np.ndarray:
        if count == 0:
            return np.zeros((1, 0, self.weight.shape[2]), np.float32)
        y: np.ndarray = F.conv1d(frames, self.weight, stride=self.stride, dilation=self.dilation).data
        y += self.bias
        return y


class ConvTransposeStage:
    """ConvTranspose1d. State: the last J - 1 frames (1,J-1,Ci).

    Output frames t·stride … (t+1)·stride - 1 have met the inputs t, t - 1, … t - J + 1, J = ceil(K / stride): together
    they are one output of a convolution with K = J and stride·Co channels.
    """

    def __init__(self, layer: ConvTranspose1d):
        w, self.bias, self.stride = layer.effective_weight().data, layer.bias.data, layer.stride
        K, Ci, Co = w.shape
        J = -(-K // self.stride)
        w = np.concatenate([w, np.zeros((J * self.stride - K, Ci, Co), w.dtype)])
        newest_last = w.reshape(J, self.stride, Ci, Co)[::-1]
        self.weight = np.ascontiguousarray(newest_last.swapaxes(1, 2)).reshape(J, Ci, self.stride * Co)

    def start(self) -> State:
        J, Ci, _ = self.weight.shape
        return np.zeros((1, J - 1, Ci), np.float32)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        n = x.shape[1]
        if n == 0:
            return np.zeros((1, 0, len(self.bias)), np.float32), state
        frames = np.concatenate([state, x], axis=1)
        y = F.conv1d(frames, self.weight).data.reshape(1, n * self.stride, -1)
        y += self.bias
        return y, frames[:, n:].copy()


class LSTMStage:
    """LSTM with its skip. State: (h (1,H), c (1,H)) of every layer."""

    def __init__(self, lstm: LSTM):
        self.H = lstm.H
        self.weights = [(layer.weight_ih.data, layer.weight_hh.data, layer.bias.data) for layer in lstm.layers]

    def start(self) -> State:
        zeros = np.zeros((1, self.H), np.float32)
        return tuple((zeros, zeros) for _ in self.weights)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        if x.shape[1] == 0:
            return x, state
        y, after = x, []
        for weights, (h0, c0) in zip(self.weights, state, strict=True):
            h, c = F.lstm(y, *weights, h0, c0)
            after.append((h.data[:, -1].copy(), c.data[:, -1].copy()))
            y = h.data
        return y + x, tuple(after)


class ELUStage:
    """ELU, which has no past."""

    def start(self) -> State:
        return ()

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        return F.elu(x).data, ()


class ResidualStage:
    """ResidualUnit. State: (the block's, the shortcut's, frames (1,n,C) of the shortcut that wait for the block's)."""

    def __init__(self, unit: ResidualUnit, pad_mode: str | None):
        self.block = Chain(unit.block, pad_mode)
        self.shortcut = Chain([] if unit.shortcut is None else [unit.shortcut], pad_mode)

    def start(self) -> State:
        return self.block.start(), self.shortcut.start(), None

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        in_block, in_shortcut, ahead = state
        y, in_block = self.block(x, in_block, last)
        short, in_shortcut = self.shortcut(x, in_shortcut, last)
        if ahead is not None:
            short = np.concatenate([ahead, short], axis=1)
        n = y.shape[1]
        ahead = short[:, n:].copy() if short.shape[1] > n else None
        return y + short[:, :n], (in_block, in_shortcut, ahead)


class Chain:
    """Layers one after the other. State: a tuple of theirs. ValueError: a layer that looks into the future."""

    def __init__(self, layers: list[Module], pad_mode: str | None):
        self.stages = [_stage(layer, pad_mode) for layer in layers]

    def start(self) -> State:
        return tuple(stage.start() for stage in self.stages)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        after = []
        for stage, before in zip(self.stages, state, strict=True):
            x, new = stage(x, before, last)
            after.append(new)
        return x, tuple(after)


Stage = ConvStage | ConvTransposeStage | LSTMStage | ELUStage | ResidualStage


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


class _Stream:
    """What both directions share: a network, where it stands, and an end."""

    def __init__(self, network: Encoder | Decoder, quantizer: ResidualVectorQuantizer, pad_mode: str | None):
        self._chain = Chain(network.layers, pad_mode)
        self._quantizer = quantizer
        self.state = self._chain.start()

    def _run(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        if self.state is None:
            raise ValueError("the stream has ended: nothing can follow a flush")
        y, state = self._chain(np.ascontiguousarray(x[None], np.float32), self.state, last)
        self.state = None if last else state
        return y[0]


class StreamEncoder(_Stream):
    """Samples in, codes out: `Codec.stream_encoder` makes it.

    state    where the stream stands. Keep it and assign it again, here or in another encoder of the same model, to go
             back to that point; None after the flush
    """

    def __init__(
        self, encoder: Encoder, quantizer: ResidualVectorQuantizer, channels: int, levels: int, pad_mode: str | None
    ):
        super().__init__(encoder, quantizer, pad_mode)
        self.channels, self.levels = channels, levels

    def push(self, wav: np.ndarray) -> np.ndarray:
        """Samples (C,n), any n -> the codes (Q,frames) int16 that they complete, often none.

        ValueError: another number of channels, samples that are not finite (both leave the state as it was), or a
        stream that has ended.
        """
        if wav.ndim != 2 or len(wav) != self.channels:
            raise ValueError(f"samples ({self.channels},n) are needed, these are {wav.shape}")
        if not np.isfinite(wav).all():
            raise ValueError("there are samples that are not finite numbers")
        return self._codes(self._run(wav.T))

    def flush(self) -> np.ndarray:
        """The end: the last codes (Q,frames), of a frame that is not full and of what a mirror held back."""
        return self._codes(self._run(np.zeros((0, self.channels)), last=True))

    def _codes(self, z: np.ndarray) -> np.ndarray:
        if len(z) == 0:
            return np.zeros((self.levels, 0), np.int16)
        codes: np.ndarray = self._quantizer.encode(z, self.levels).astype(np.int16)
        return codes


class StreamDecoder(_Stream):
    """Codes in, samples out: `Codec.stream_decoder` makes it. `state` as that of StreamEncoder."""

    def __init__(self, decoder: Decoder, quantizer: ResidualVectorQuantizer, pad_mode: str | None):
        super().__init__(decoder, quantizer, pad_mode)

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Codes (Q,frames), any number of frames -> the samples (C,n) that they complete.

        ValueError: more codebooks than the model has, codes that it has not, or a stream that has ended.
        """
        levels, entries, _ = self._quantizer.codebooks.shape
        if codes.ndim != 2 or not 1 <= len(codes) <= levels:
            raise ValueError(f"codes (1…{levels},frames) are needed, these are {codes.shape}")
        if codes.size and not 0 <= codes.min() <= codes.max() < entries:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, but the codebooks have {entries} entries")
        return self._run(self._quantizer.decode(codes.astype(np.int64))).T

    def flush(self) -> np.ndarray:
        """The end: the last samples (C,n); there are some only if the model is padded by reflection, and all is short.

        Together, pushes and flush give as many samples as the frames cover, which may be more than were encoded.
        """
        width = self._quantizer.codebooks.shape[2]
        return self._run(np.zeros((0, width)), last=True).T
