"""Layers: Linear, Embedding, norms, Conv1d, ConvTranspose1d, Conv2d, LSTM.

Sequences are (B,T,C), channels last. Weights start as in PyTorch: uniform in ±1/sqrt(fan_in).
"""

import math

import numpy as np

from minicodec import functional as F
from minicodec.nn.module import Module, parameter
from minicodec.tensor import Tensor

NORMS = ("none", "weight_norm", "time_group_norm")
PAD_MODES = ("zero", "reflect")


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape)


class Linear(Module):
    """y = x W + b: x (...,Ci) -> y (...,Co)."""

    def __init__(self, Ci: int, Co: int, *, bias: bool = True, rng: np.random.Generator):
        self.weight = parameter(_uniform(rng, (Ci, Co), Ci))
        self.bias = parameter(_uniform(rng, (Co,), Ci)) if bias else None

    def __call__(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight)
        return y if self.bias is None else y + self.bias


class Embedding(Module):
    """A table of N vectors of width D: indices (...) -> y (...,D)."""

    def __init__(self, N: int, D: int, *, rng: np.random.Generator):
        self.weight = parameter(rng.normal(size=(N, D)))

    def __call__(self, indices: np.ndarray) -> Tensor:
        return F.embedding(self.weight, indices)


class LayerNorm(Module):
    """Each vector of the last axis to mean 0 and variance 1, then scaled and shifted: x (...,C) -> y (...,C)."""

    def __init__(self, C: int, *, eps: float = 1e-5):
        self.weight = parameter(np.ones(C))
        self.bias = parameter(np.zeros(C))
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight, self.bias, eps=self.eps)


class GroupNorm(Module):
    """Each item to mean 0 and variance 1 over time and the channels of a group: x (B,T,C) -> y (B,T,C)."""

    def __init__(self, C: int, *, groups: int = 1, eps: float = 1e-5):
        self.weight = parameter(np.ones(C))
        self.bias = parameter(np.zeros(C))
        self.groups, self.eps = groups, eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.weight, self.bias, groups=self.groups, eps=self.eps)


class _Convolution(Module):
    """What the convolutions share: weights (taps...,Ci,Co), in one of three parametrisations, and their norm.

    "none"             a weight
    "weight_norm"      its direction v and length g apart: w = g v / ‖v‖ [Salimans16]
    "time_group_norm"  a weight, and GroupNorm with one group over the result
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        fan_in: int,
        norm_axis: int,
        norm: str,
        causal: bool,
        rng: np.random.Generator,
    ):
        if norm not in NORMS:
            raise ValueError(f"norm {norm!r}: choose one of {', '.join(NORMS)}")
        if norm == "time_group_norm" and causal:
            raise ValueError("a norm over all of time looks into the future: time_group_norm cannot be causal")
        w = _uniform(rng, shape, fan_in)
        self.norm_axis, self.causal = norm_axis, causal
        if norm == "weight_norm":
            others = tuple(i for i in range(len(shape)) if i != norm_axis)
            self.weight_g = parameter(np.sqrt((w**2).sum(others, keepdims=True)))
            self.weight_v = parameter(w)
        else:
            self.weight = parameter(w)
        self.bias = parameter(_uniform(rng, (shape[-1],), fan_in))
        self.norm = GroupNorm(shape[-1]) if norm == "time_group_norm" else None

    def effective_weight(self) -> Tensor:
        """The weight (taps...,Ci,Co) that the convolution multiplies with."""
        if hasattr(self, "weight_v"):
            return F.weight_norm(self.weight_v, self.weight_g, axis=self.norm_axis)
        return self.weight


class Conv1d(_Convolution):
    """Convolution over time whose length follows from the stride alone: x (B,T,Ci) -> y (B,ceil(T/stride),Co).

    To that end (K-1)·dilation + 1 - stride frames are padded: all on the left when causal, so that an output sees
    no later input; else half on each side, the odd one on the left. Then further frames on the right, if needed, so
    that the last window is full and no sample is lost.

    ahead: of a causal layer, so many of the frames are padded on the right: it sees so far into the future.

        K = 4, stride 2, causal, T = 5:      0 0 x x x x x 0
                                             └──┬──┘
                                                 └──┬──┘
                                                     └──┬──┘
    """

    def __init__(
        self,
        Ci: int,
        Co: int,
        K: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        norm: str = "none",
        causal: bool = True,
        ahead: int = 0,
        pad_mode: str = "zero",
        rng: np.random.Generator,
    ):
        super().__init__((K, Ci, Co), fan_in=K * Ci, norm_axis=2, norm=norm, causal=causal, rng=rng)
        if (K - 1) * dilation + 1 < stride:
            raise ValueError(f"Conv1d: K={K}, dilation={dilation}, stride={stride}: windows must reach each other")
        if pad_mode not in PAD_MODES:
            raise ValueError(f"pad_mode {pad_mode!r}: choose one of {', '.join(PAD_MODES)}")
        self.K, self.stride, self.dilation, self.ahead, self.pad_mode = K, stride, dilation, ahead, pad_mode

    def padding(self, T: int) -> tuple[int, int]:
        """Frames to add on the (left, right) of T."""
        total = (self.K - 1) * self.dilation + 1 - self.stride
        fill_last_window = -T % self.stride
        right = self.ahead if self.causal else total // 2
        return total - right, right + fill_last_window

    def __call__(self, x: Tensor, elu: bool = False) -> Tensor:
        """With `elu`, of elu(x): faster than an ELU in front."""
        left, right = self.padding(x.shape[1])
        w = self.effective_weight()
        y = F.conv1d_layer(x, w, self.bias, elu, left, right, self.pad_mode, self.stride, self.dilation)
        return y if self.norm is None else self.norm(y)


class ConvTranspose1d(_Convolution):
    """The shape-inverse of Conv1d: x (B,T,Ci) -> y (B,T·stride,Co).

    Each input frame adds K output frames, `stride` apart; K - stride frames too many come out, and are trimmed:
    all on the right when causal, else half on each side, the odd one on the left.
    """

    def __init__(
        self,
        Ci: int,
        Co: int,
        K: int,
        *,
        stride: int = 1,
        norm: str = "none",
        causal: bool = True,
        rng: np.random.Generator,
    ):
        super().__init__((K, Ci, Co), fan_in=K * Co, norm_axis=1, norm=norm, causal=causal, rng=rng)
        if stride > K:
            raise ValueError(f"ConvTranspose1d: K={K}, stride={stride}: windows must reach each other")
        self.stride = stride
        surplus = K - stride
        self.trim_right = surplus if causal else surplus // 2
        self.trim_left = surplus - self.trim_right

    def __call__(self, x: Tensor, elu: bool = False) -> Tensor:
        """With `elu`, of elu(x): faster than an ELU in front."""
        w = self.effective_weight()
        if elu and self.norm is None:
            return F.conv_transpose1d_layer(x, w, self.bias, self.stride, self.trim_left, self.trim_right)
        y = F.conv_transpose1d(F.elu(x) if elu else x, w, stride=self.stride) + self.bias
        if self.norm is not None:
            y = self.norm(y)
        return y[:, self.trim_left : y.shape[1] - self.trim_right]


class Conv2d(_Convolution):
    """Convolution over time and frequency: x (B,T,F,Ci) -> y (B,ceil(T/st),ceil(F/sf),Co).

    K = (Kt,Kf) odd, stride = (st,sf). Half a window of zeros stands on each side: (K-1)·dilation/2.
    slope: of a LeakyReLU over the result, None for none.
    """

    def __init__(
        self,
        Ci: int,
        Co: int,
        K: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        norm: str = "none",
        slope: float | None = None,
        rng: np.random.Generator,
    ):
        super().__init__((*K, Ci, Co), fan_in=K[0] * K[1] * Ci, norm_axis=3, norm=norm, causal=False, rng=rng)
        self.stride, self.dilation, self.slope = stride, dilation, slope
        if K[0] % 2 == 0 or K[1] % 2 == 0:
            raise ValueError(f"Conv2d: K={K}: a window has a middle only where both are odd")
        self.padding = ((K[0] - 1) * dilation[0] // 2, (K[1] - 1) * dilation[1] // 2)

    def __call__(self, x: Tensor) -> Tensor:
        w = self.effective_weight()
        if self.slope is None:
            return F.conv2d(x, w, stride=self.stride, dilation=self.dilation, padding=self.padding) + self.bias
        return F.conv2d_leaky_relu(x, w, self.bias, self.slope, self.stride, self.dilation, self.padding)


class LSTM(Module):
    """A stack of LSTM layers with a skip over the whole stack: x (B,T,H) -> y (B,T,H), y = x + lstm(x).

    The weights are (Ci,4H), gates in the order input, forget, cell, output. One bias: PyTorch's two always appear as
    a sum.
    """

    def __init__(self, H: int, layers: int, *, rng: np.random.Generator):
        self.H, self.depth = H, layers
        self.layers: list[LSTMLayer] = [LSTMLayer(H, H, rng=rng) for _ in range(layers)]

    def __call__(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer(y)
        return y + x


class LSTMLayer(Module):
    """One LSTM layer from the zero state: x (B,T,Ci) -> h (B,T,H)."""

    def __init__(self, Ci: int, H: int, *, rng: np.random.Generator):
        self.weight_ih = parameter(_uniform(rng, (Ci, 4 * H), H))
        self.weight_hh = parameter(_uniform(rng, (H, 4 * H), H))
        self.bias = parameter(_uniform(rng, (4 * H,), H))

    def __call__(self, x: Tensor) -> Tensor:
        h, _ = F.lstm(x, self.weight_ih, self.weight_hh, self.bias)
        return h
