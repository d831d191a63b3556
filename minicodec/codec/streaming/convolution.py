"""Streaming convolutions: the frames that are their state, and the padding of the last window.

A convolution needs, of all that came before, the last frames alone: those that windows to come will see too. In the
beginning they are the padding on its left, zeros; or a mirror, which has to wait until there is something to show.
After the last input come frames on the right, so that the last window is full and no sample is lost.

A transposed convolution, seen from its output, is a convolution, and keeps frames likewise. In a residual unit, frames
of the shortcut wait for those of the block.

The frames of the past, the new ones and the padding come to lie in one buffer, which stays: each fresh array of
megabytes costs an interruption for every page of 4 KiB that is first touched, 4 % of the encoder's time.
"""

from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.backend import active
from minicodec.codec.seanet import ResidualUnit
from minicodec.codec.streaming.folded_convolution import fold, fold_shortcut, fold_transposed, kernels
from minicodec.codec.weight_cache import cached
from minicodec.nn.layers import PAD_MODES, Conv1d, ConvTranspose1d
from minicodec.ops.conv1d import output_length
from minicodec.ops.padding import mirrored

State = Any  # a tuple of arrays, and of such tuples, that nobody modifies
Result = tuple[np.ndarray, State]


class FrameBuffer:
    """Joins frames of the past and new ones, or ELU of these, and pads them, in memory that stays from call to call."""

    def __init__(self, C: int, elu: bool):
        self.memory, self.elu = np.empty((1, 0, C), np.float32), elu

    def join(self, before: np.ndarray, x: np.ndarray, left: int = 0, right: int = 0, mode: str = "zero") -> np.ndarray:
        """(1,m,C), (1,n,C) -> (1,left + m + n + right,C), valid until the next call. Padded as the op pad1d does it."""
        m, n, C = before.shape[1], x.shape[1], x.shape[2]
        size = left + m + n + right
        if self.memory.shape[1] < size:
            self.memory = np.empty((1, size, C), np.float32)
        padded = self.memory[:, :size]
        frames = padded[:, left : size - right]
        frames[:, :m] = before
        if self.elu and active() == "numba":
            kernels().elu_into(x, frames[:, m:])
        else:
            frames[:, m:] = F.elu(x).data if self.elu else x
        if left or right:
            padded[:, :left], padded[:, size - right :] = 0, 0
            if mode == "reflect":
                position, source = mirrored(frames, left, right)
                padded[:, position] = frames[:, source]
        return padded


class ConvStage:
    """Conv1d. State: (frames (1,n,Ci) that windows to come will see, is the mirror in front of them still to come?).

    elu_first: of ELU of its input.
    """

    def __init__(self, layer: Conv1d, pad_mode: str | None, activation: str | None = None, elu_first: bool = False):
        self.layer, self.pad_mode, self.activation = layer, pad_mode or layer.pad_mode, activation
        if self.pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode {self.pad_mode!r}: choose one of {', '.join(PAD_MODES)}")
        self.convolution = cached(layer, fold)
        self.margin, _ = layer.padding(layer.stride)
        self.buffer = FrameBuffer(self.convolution.shape[1], elu_first)
        if self.pad_mode == "reflect" and self.margin < layer.stride - 1:
            raise ValueError(f"conv K={layer.K} stride {layer.stride}: forgets frames that the mirror at the end shows")

    def start(self) -> State:
        mirror = self.pad_mode == "reflect" and self.margin > 0
        return np.zeros((1, 0 if mirror else self.margin, self.convolution.shape[1]), np.float32), mirror

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        before, mirror = state
        n, stride = before.shape[1] + x.shape[1], self.layer.stride
        if mirror and n <= self.margin and not last:
            frames = self.buffer.join(before, x)  # too few to mirror, as yet
            return self.convolution(frames, 0), (frames.copy(), True)
        left = self.margin if mirror else 0
        # Then what the last windows would see of the future, and as much more as fills the last one.
        right = self.layer.ahead + (self.margin - left - n) % stride if last else 0
        frames = self.buffer.join(before, x, left, right, self.pad_mode)
        count = max(0, output_length(frames.shape[1], self.layer.K, stride, self.layer.dilation))
        return self.convolution(frames, count, self.activation), (frames[:, count * stride :].copy(), False)


class ConvTransposeStage:
    """ConvTranspose1d. State: the last frames (1,J-1,Ci), J as in folded_convolution.py."""

    def __init__(self, layer: ConvTranspose1d):
        self.convolution = cached(layer, fold_transposed)
        _, Ci, N = self.convolution.shape
        self.Co, self.buffer = N // layer.stride, FrameBuffer(Ci, elu=False)
        self.activation: str | None = None

    def start(self) -> State:
        J, Ci, _ = self.convolution.shape
        return np.zeros((1, J - 1, Ci), np.float32)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        n = x.shape[1]
        frames = self.buffer.join(state, x)
        return self.convolution(frames, n, self.activation).reshape(1, -1, self.Co), frames[:, n:].copy()


class ResidualStage:
    """ResidualUnit. State: (its first convolution's, frames (1,n,C) of the shortcut that wait for the block's).

    The block's last product and the shortcut's are one.
    """

    def __init__(self, unit: ResidualUnit, pad_mode: str | None):
        _, first, _, second = unit.block
        assert isinstance(first, Conv1d)
        assert isinstance(second, Conv1d)
        self.first = ConvStage(first, pad_mode, "elu", elu_first=True)
        self.second = cached(second, fold)
        self.shortcut = None if unit.shortcut is None else cached(unit, fold_shortcut)
        self.activation: str | None = None

    def start(self) -> State:
        return self.first.start(), np.zeros((1, 0, self.second.shape[2]), np.float32)

    def __call__(self, x: np.ndarray, state: State, last: bool) -> Result:
        in_first, waiting = state
        h, in_first = self.first(x, in_first, last)
        n = h.shape[1]
        x = np.concatenate([waiting, x], axis=1) if waiting.shape[1] else x
        if self.shortcut is None:
            y = self.second(h, n, self.activation, add_to=x[:, :n].copy())
        else:
            y = self.shortcut(x, n, self.activation, also=(h, self.second))
        return y, (in_first, x[:, n:].copy())
