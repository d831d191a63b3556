"""Weight norm folded into weights, and these packed for the engine: once for all streams, not once a frame.

A convolution of a stream is then one product, of windows of frames with packed weights, and what follows it (bias, ELU,
a sum) is part of that product.
"""

from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.backend import active
from minicodec.codec.seanet import ResidualUnit
from minicodec.kernels.cpu.conv1d import correlate, few_columns
from minicodec.kernels.cpu.engine.products import multiply, pack, unpack
from minicodec.nn.layers import Conv1d, ConvTranspose1d


class PackedConvolution:
    """Frames (1,n,Ci) convolved with weights (K,Ci,Co), + bias (Co): on the engine; on other backends, by the ops."""

    def __init__(self, w: np.ndarray, bias: np.ndarray, stride: int = 1, dilation: int = 1):
        self.packed, self.bias, self.stride, self.dilation = pack(w), bias.copy(), stride, dilation
        self.narrow = w.copy() if few_columns(len(w), w.shape[2], stride) else None  # has a faster way of its own

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
        if self.narrow is not None and activation is None and add_to is None and also is None:
            return correlate(frames, self.narrow, count, self.stride, self.dilation, bias=self.bias)
        y = np.empty((1, count, Co), np.float32) if add_to is None else add_to
        steps = {"batch_step": 0, "row_step": self.stride * Ci, "tap_step": self.dilation * Ci}
        finish = {"also": also, "add": add_to is not None, "bias": self.bias, "activation": activation}
        return multiply(frames, self.packed, y, **steps, **finish)


def pack_convolution(layer: Conv1d) -> PackedConvolution:
    """A convolution, its weight norm folded."""
    return PackedConvolution(layer.effective_weight().data, layer.bias.data, layer.stride, layer.dilation)


def pack_shortcut(unit: ResidualUnit) -> PackedConvolution:
    """The shortcut of a residual unit, with the bias of the block's last convolution too: the two are added up."""
    last = unit.block[-1]
    assert unit.shortcut is not None
    assert isinstance(last, Conv1d)
    packed = pack_convolution(unit.shortcut)
    packed.bias += last.bias.data
    return packed


def pack_conv_transpose(layer: ConvTranspose1d) -> PackedConvolution:
    """A transposed convolution as a convolution, by what its outputs have met.

    Output frames t·stride … (t+1)·stride - 1 have met the inputs t, t - 1, … t - J + 1, J = ceil(K / stride).

    Together they are one output of a convolution with K = J and stride·Co channels.
    """
    w, stride = layer.effective_weight().data, layer.stride
    K, Ci, Co = w.shape
    J = -(-K // stride)
    w = np.concatenate([w, np.zeros((J * stride - K, Ci, Co), w.dtype)])
    newest_last = w.reshape(J, stride, Ci, Co)[::-1].swapaxes(1, 2).reshape(J, Ci, stride * Co)
    return PackedConvolution(newest_last, np.tile(layer.bias.data, stride))
