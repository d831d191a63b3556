"""The convolutions of the causal networks as products: windows of frames with packed weights (for codec/stages.py).

Weight norm is computed and biases are merged when they are made, once for all streams (codec/kept.py).
"""

from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.backend import active
from minicodec.codec.seanet import ResidualUnit
from minicodec.kernels.cpu.conv1d import correlate, few_columns
from minicodec.kernels.cpu.engine.products import multiply, pack, unpack
from minicodec.nn.layers import Conv1d, ConvTranspose1d


class Windows:
    """Windows of frames times weights (K,Ci,Co), + bias (Co), on the engine; on a student's backend, by the ops."""

    def __init__(self, w: np.ndarray, bias: np.ndarray, stride: int = 1, dilation: int = 1):
        self.packed, self.bias, self.stride, self.dilation = pack(w), bias.copy(), stride, dilation
        self.few = w.copy() if few_columns(len(w), w.shape[2], stride) else None  # has a faster way of its own

    def __call__(
        self, frames: np.ndarray, count: int, activation: str | None = None, add_to: Any = None, also: Any = None
    ) -> np.ndarray:
        """Frames (1,n,Ci) -> (1,count,Co), with ELU if that is the activation.

        add_to (1,count,Co): + what it holds; also (frames (1,count,Cj), packed weights (1,Cj,Co)): + their product.
        """
        _, Ci, Co = self.packed.shape
        if count == 0:
            return np.zeros((1, 0, Co), np.float32)
        if active() != "numba":
            y: np.ndarray = F.conv1d(frames, unpack(self.packed), self.stride, self.dilation).data + self.bias
            y = y if add_to is None else y + add_to
            y = y if also is None else y + F.conv1d(also[0], unpack(also[1])).data
            return F.elu(y).data if activation else y
        if self.few is not None and activation is None and add_to is None and also is None:
            return correlate(frames, self.few, count, self.stride, self.dilation, bias=self.bias)
        y = np.empty((1, count, Co), np.float32) if add_to is None else add_to
        steps = {"batch_step": 0, "row_step": self.stride * Ci, "tap_step": self.dilation * Ci}
        finish = {"also": also, "add": add_to is not None, "bias": self.bias, "activation": activation}
        return multiply(frames, self.packed, y, **steps, **finish)


def windows_of(layer: Conv1d) -> Windows:
    """Those of a convolution."""
    return Windows(layer.effective_weight().data, layer.bias.data, layer.stride, layer.dilation)


def shortcut_windows_of(unit: ResidualUnit) -> Windows:
    """Those of its shortcut, with the bias of the block's last convolution too: the two are added up."""
    last = unit.block[-1]
    assert unit.shortcut is not None
    assert isinstance(last, Conv1d)
    windows = windows_of(unit.shortcut)
    windows.bias += last.bias.data
    return windows


def transposed_windows_of(layer: ConvTranspose1d) -> Windows:
    """Output frames t·stride … (t+1)·stride - 1 have met the inputs t, t - 1, … t - J + 1, J = ceil(K / stride).

    Together they are one output of a convolution with K = J and stride·Co channels.
    """
    w, stride = layer.effective_weight().data, layer.stride
    K, Ci, Co = w.shape
    J = -(-K // stride)
    w = np.concatenate([w, np.zeros((J * stride - K, Ci, Co), w.dtype)])
    newest_last = w.reshape(J, stride, Ci, Co)[::-1].swapaxes(1, 2).reshape(J, Ci, stride * Co)
    return Windows(newest_last, np.tile(layer.bias.data, stride))
