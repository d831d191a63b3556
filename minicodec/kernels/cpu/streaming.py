"""Streams on the engine: weights packed once, for many short products. Definitions: codec/streaming/.

Bias, ELU and the sum of a residual unit are part of a product, instead of passes of their own.
"""

from typing import Any

import numpy as np

from minicodec.kernels.cpu.activations import elu_share
from minicodec.kernels.cpu.conv1d import correlate, few_columns
from minicodec.kernels.cpu.engine.products import multiply, pack, unpack
from minicodec.kernels.cpu.lstm import LONG, as_panels, run


class PackedConvolution:
    """Frames (1,n,Ci) convolved with weights (K,Ci,Co), + bias (Co)."""

    def __init__(self, w: np.ndarray, bias: np.ndarray, stride: int, dilation: int):
        self.packed, self.bias, self.stride, self.dilation = pack(w), bias.copy(), stride, dilation
        self.bias.setflags(write=False)
        self.narrow = w.copy() if few_columns(len(w), w.shape[2], stride) else None  # has a faster way of its own

    def __call__(
        self, frames: np.ndarray, count: int, activation: str | None, add_to: np.ndarray | None, also: Any
    ) -> np.ndarray:
        """-> (1,count,Co); add_to, also as in codec/streaming/folded_convolution.py, weights a PackedConvolution."""
        if self.narrow is not None and activation is None and add_to is None and also is None:
            return correlate(frames, self.narrow, count, self.stride, self.dilation, bias=self.bias)
        _, Ci, Co = self.packed.shape
        return multiply(
            frames,
            self.packed,
            np.empty((1, count, Co), np.float32) if add_to is None else add_to,
            batch_step=0,
            row_step=self.stride * Ci,
            tap_step=self.dilation * Ci,
            also=None if also is None else (also[0], also[1].packed),
            add=add_to is not None,
            bias=self.bias,
            activation=activation,
        )

    def weights(self) -> np.ndarray:
        """As they were, (K,Ci,Co)."""
        return unpack(self.packed)


class PackedLSTM:
    """A layer of an LSTM, from any state on."""

    def __init__(self, w_ih: np.ndarray, w_hh: np.ndarray, bias: np.ndarray):
        self.packed = pack(w_ih[None]), as_panels(w_hh, 4, LONG), bias.copy()

    def __call__(self, x: np.ndarray, h0: np.ndarray, c0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (1,n,Ci), h0, c0 (1,H) -> h, c (1,n,H) after each frame."""
        _, y = run(x, *self.packed, h0, c0)
        H = h0.shape[1]
        return np.ascontiguousarray(y[..., :H]), y[..., H:]


def elu_into(x: np.ndarray, y: np.ndarray) -> None:
    """ELU of x (1,n,C) into y, of the same shape and contiguous."""
    elu_share(0, x.size, np.ascontiguousarray(x).reshape(-1), y.reshape(-1))
