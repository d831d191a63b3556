"""Chapters 3, 4 and 6: convolution, its adjoint, both causal; weights by length and direction; layers."""

import numpy as np

from minicodec.course.my_codec.tensor import Tensor, parameter


def conv1d_forward(x, w, *, stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co)."""
    To = (x.shape[1] - (len(w) - 1) * dilation - 1) // stride + 1
    y = np.zeros((len(x), To, w.shape[2]), x.dtype)
    for k in range(len(w)):
        y += x[:, k * dilation :: stride][:, :To] @ w[k]
    return y


def conv1d_backward(dy, saved, *, stride=1, dilation=1):
    """dy (B,To,Co) -> dx (B,T,Ci), dw (K,Ci,Co). saved: (x, w)."""
    x, w = saved
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for k in range(len(w)):
        seen = (slice(None), slice(k * dilation, k * dilation + (dy.shape[1] - 1) * stride + 1, stride))
        dx[seen] += dy @ w[k].T
        dw[k] = np.tensordot(x[seen], dy, axes=((0, 1), (0, 1)))
    return dx, dw


def causal_padding(K, stride, dilation, T):
    """K, stride, dilation, T -> frames to add on the left and on the right of T frames."""
    return np.array([(K - 1) * dilation + 1 - stride, -T % stride])


def causal_conv1d(x, w, stride=1, dilation=1):
    """x (B,T,Ci), w (K,Ci,Co), Tensors -> y (B,ceil(T/stride),Co), a Tensor that sees no later input.

    Zeros on the left, and as many on the right as fill the last window: causal_padding says how many.
    """
    T = x.data.shape[1]
    left, right = causal_padding(len(w.data), stride, dilation, T)
    padded = np.pad(x.data, ((0, 0), (left, right), (0, 0)))
    y = conv1d_forward(padded, w.data, stride=stride, dilation=dilation)

    def send_back(dy):
        dpadded, dw = conv1d_backward(dy, (padded, w.data), stride=stride, dilation=dilation)
        return dpadded[:, left : left + T], dw

    return Tensor(y, (x, w), send_back)


def conv_transpose1d_forward(x, w, *, stride=1):
    """x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co), To = (T - 1)·stride + K."""
    (B, T, _), (K, _, Co) = x.shape, w.shape
    y = np.zeros((B, (T - 1) * stride + K, Co), x.dtype)
    for k in range(K):
        y[:, k : k + (T - 1) * stride + 1 : stride] += x @ w[k]
    return y


def causal_conv_transpose1d(x, w, stride):
    """x (B,T,Ci), w (K,Ci,Co), Tensors -> y (B,T·stride,Co), a Tensor: the last K - stride frames are cut off.

    Its adjoint is a convolution, so conv1d_forward and conv1d_backward, with w's channels swapped, send gradients back.
    """
    frames = x.data.shape[1] * stride
    full = conv_transpose1d_forward(x.data, w.data, stride=stride)
    swapped = w.data.swapaxes(1, 2)

    def send_back(dy):
        dfull = np.pad(dy, ((0, 0), (0, full.shape[1] - frames), (0, 0)))
        _, dswapped = conv1d_backward(x.data, (dfull, swapped), stride=stride)
        return conv1d_forward(dfull, swapped, stride=stride), dswapped.swapaxes(1, 2)

    return Tensor(full[:, :frames], (x, w), send_back)


def weight_norm_forward(v, g, *, axis):
    """v (*v), g (*g) -> w (*v) = g v / ‖v‖, the norm over all axes but `axis`."""
    others = tuple(i for i in range(v.ndim) if i != axis % v.ndim)
    return g * v / np.sqrt((v * v).sum(axis=others, keepdims=True))


def weight_norm_backward(dw, saved, *, axis):
    """dw (*v) -> dv (*v), dg (*g). saved: (v/‖v‖, ‖v‖, g, the axes of the norm)."""
    direction, length, g, others = saved
    dg = (dw * direction).sum(axis=others, keepdims=True)
    return g / length * (dw - dg * direction), dg


def weight_norm(v, g, axis):
    """v (*v), g (*g), Tensors; axis >= 0 -> w (*v), a Tensor: g v / ‖v‖, the norm over all axes but `axis`."""
    others = tuple(i for i in range(v.data.ndim) if i != axis)
    length = np.sqrt((v.data**2).sum(axis=others, keepdims=True))
    saved = (v.data / length, length, g.data, others)
    w = weight_norm_forward(v.data, g.data, axis=axis)
    return Tensor(w, (v, g), lambda dw: weight_norm_backward(dw, saved, axis=axis))


class Conv1d:
    """A causal convolution K, Ci -> Co: parameters weight_v (K,Ci,Co), weight_g (1,1,Co), the length of each output
    channel's weights, and bias (Co).
    """

    def __init__(self, Ci, Co, K, rng, stride=1, dilation=1):
        """weight_v: normal random numbers of rng; weight_g: ones, so that signals keep their power; bias: zeros."""
        self.stride, self.dilation = stride, dilation
        self.weight_v = parameter(rng.normal(size=(K, Ci, Co)))
        self.weight_g = parameter(np.ones((1, 1, Co)))
        self.bias = parameter(np.zeros(Co))

    def __call__(self, x):
        """x (B,T,Ci) -> y (B,ceil(T/stride),Co), Tensors."""
        w = weight_norm(self.weight_v, self.weight_g, axis=2)
        return causal_conv1d(x, w, self.stride, self.dilation) + self.bias


class ConvTranspose1d:
    """A causal transposed convolution K, Ci -> Co: parameters weight_v (K,Ci,Co), weight_g (1,Ci,1), the length of each
    INPUT channel's weights, and bias (Co).
    """

    def __init__(self, Ci, Co, K, rng, stride):
        """weight_v: normal random numbers of rng; weight_g: all sqrt(Co·stride / Ci); bias: zeros."""
        self.stride = stride
        self.weight_v = parameter(rng.normal(size=(K, Ci, Co)))
        self.weight_g = parameter(np.full((1, Ci, 1), np.sqrt(Co * stride / Ci)))
        self.bias = parameter(np.zeros(Co))

    def __call__(self, x):
        """x (B,T,Ci) -> y (B,T·stride,Co), Tensors."""
        w = weight_norm(self.weight_v, self.weight_g, axis=1)
        return causal_conv_transpose1d(x, w, self.stride) + self.bias
