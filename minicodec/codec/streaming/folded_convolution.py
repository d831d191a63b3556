"""The folding of weight norm into weights: once for all streams, not once a frame.

What is left of a layer are weights and a bias, ready to be multiplied with windows of frames. On the Numba backend the
weights are packed for its engine, in place of the others.
"""

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from minicodec import functional as F
from minicodec.backend import active
from minicodec.codec.seanet import ResidualUnit
from minicodec.nn.layers import Conv1d, ConvTranspose1d


@cache
def kernels() -> ModuleType:
    """kernels/cpu/streaming.py, loaded at first use."""
    from minicodec.kernels.cpu import streaming

    return streaming


class FoldedConvolution:
    """Frames (1,n,Ci) convolved with weights (K,Ci,Co), + bias (Co)."""

    def __init__(self, w: np.ndarray, bias: np.ndarray, stride: int = 1, dilation: int = 1):
        self.shape, self.bias, self.stride, self.dilation = w.shape, bias.copy(), stride, dilation
        # One of the two; a stream may be made on one backend and run on another.
        self._packed: Any = None
        self._weights: np.ndarray | None = None
        if active() == "numba":
            self._packed = kernels().PackedConvolution(w, self.bias, stride, dilation)
        else:
            self._weights = w.copy()

    def __call__(
        self, frames: np.ndarray, count: int, activation: str | None = None, add_to: Any = None, also: Any = None
    ) -> np.ndarray:
        """Frames (1,n,Ci) -> (1,count,Co), with ELU if that is the activation.

        add_to (1,count,Co): + what it holds, which is lost; also (frames (1,count,Cj), a FoldedConvolution with K = 1):
        + their product.
        """
        if count == 0:
            return np.zeros((1, 0, self.shape[2]), np.float32)
        if active() == "numba":
            other = None if also is None else (also[0], also[1].packed())
            y: np.ndarray = self.packed()(frames, count, activation, add_to, other)
            return y
        y = F.conv1d(frames, self.weights(), self.stride, self.dilation).data + self.bias
        y = y if add_to is None else y + add_to
        y = y if also is None else y + F.conv1d(also[0], also[1].weights()).data
        return F.elu(y).data if activation else y

    def packed(self) -> Any:
        """For the engine."""
        if self._packed is None:
            self._packed = kernels().PackedConvolution(self._weights, self.bias, self.stride, self.dilation)
            self._weights = None
        return self._packed

    def weights(self) -> np.ndarray:
        """For all others, (K,Ci,Co)."""
        if self._weights is None:
            self._weights, self._packed = self._packed.weights(), None
        return self._weights


def fold(layer: Conv1d) -> FoldedConvolution:
    """A convolution."""
    return FoldedConvolution(layer.effective_weight().data, layer.bias.data, layer.stride, layer.dilation)


def fold_shortcut(unit: ResidualUnit) -> FoldedConvolution:
    """The shortcut of a residual unit, with the bias of the block's last convolution too: the two are added up."""
    last = unit.block[-1]
    assert unit.shortcut is not None
    assert isinstance(last, Conv1d)
    w, bias = unit.shortcut.effective_weight().data, unit.shortcut.bias.data
    return FoldedConvolution(w, bias + last.bias.data)


def fold_transposed(layer: ConvTranspose1d) -> FoldedConvolution:
    """A transposed convolution as a convolution, by what its outputs have met.

    Output frames t·stride … (t+1)·stride - 1 have met the inputs t, t - 1, … t - J + 1, J = ceil(K / stride).
    Together they are one output of a convolution with K = J and stride·Co channels.
    """
    w, stride = layer.effective_weight().data, layer.stride
    K, Ci, Co = w.shape
    J = -(-K // stride)
    w = np.concatenate([w, np.zeros((J * stride - K, Ci, Co), w.dtype)])
    newest_last = w.reshape(J, stride, Ci, Co)[::-1].swapaxes(1, 2).reshape(J, Ci, stride * Co)
    return FoldedConvolution(newest_last, np.tile(layer.bias.data, stride))
