"""Chapter 3."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch03_convolution import toeplitz
from minicodec.ops import conv1d as library


def _dilation_ignored(x, w, *, stride=1, dilation=1):
    To = library.output_length(x.shape[1], len(w), stride, dilation)
    return library.conv1d_forward(x, w, stride=stride)[0][:, :To]


def _first_tap_only(x, w, *, stride=1, dilation=1):
    To = library.output_length(x.shape[1], len(w), stride, dilation)
    return library.frames_of_tap(x, 0, To, stride, dilation) @ w[0]


def _one_frame_less(x, w, *, stride=1, dilation=1):
    return library.conv1d_forward(x, w, stride=stride, dilation=dilation)[0][:, :-1]


def _padded(x, w, *, stride=1, dilation=1):
    return library.conv1d_forward(np.pad(x, ((0, 0), ((len(w) - 1) * dilation, 0), (0, 0))), w, stride=stride,
                                  dilation=dilation)  # fmt: skip


def _backward(dx=lambda dx, dy, saved: dx, dw=lambda dw, dy, saved: dw):
    def run(dy, saved, *, stride=1, dilation=1):
        right = library.conv1d_backward(dy, saved, stride=stride, dilation=dilation)
        return dx(right[0], dy, saved), dw(right[1], dy, saved)

    return run


def _dilation_ignored_in_dx(dy, saved, *, stride=1, dilation=1):
    x, w = saved
    dx = np.zeros_like(x)
    for k in range(len(w)):
        library.frames_of_tap(dx, k, dy.shape[1], stride, 1)[...] += dy @ w[k].T
    return dx, library.conv1d_backward(dy, saved, stride=stride, dilation=dilation)[1]


def _one_channel(w, T):
    return toeplitz(np.broadcast_to(w[:, :1], w.shape), T)


def _channels_first(w, T):
    K, Ci, Co = w.shape
    A = toeplitz(w, T).reshape(T, Ci, T - K + 1, Co)
    return A.transpose(1, 0, 3, 2).reshape(T * Ci, -1)


def _one_window(w, T):
    A = toeplitz(w, T)
    A[:, w.shape[2] :] = 0
    return A


MISTAKES = {
    "conv1d_forward": (
        Mistake(_dilation_ignored, "`dilation` is ignored: tap k looks k·dilation frames ahead, not k"),
        Mistake(_first_tap_only, "only the first tap counts: sum over all k"),
        Mistake(_one_frame_less, "the last window is missing: there are (T - (K-1)·dilation - 1) // stride + 1"),
        Mistake(_padded, "zeros were put in front: this convolution has no padding, and y is shorter than x"),
    ),
    "conv1d_backward": (
        Mistake(_dilation_ignored_in_dx, "`dilation` is ignored in dx: tap k sent frame t to t·stride + k·dilation"),
        Mistake(
            _backward(dw=lambda dw, dy, saved: dw / (dy.shape[0] * dy.shape[1])),
            "dw is a sum over all items and frames, not a mean",
        ),
        Mistake(_backward(dw=lambda dw, dy, saved: np.zeros_like(dw)), "dw is zero: is it ever written to?"),
        Mistake(_backward(dx=lambda dx, dy, saved: dx / len(saved[1])), "dx is a sum over the taps, not a mean"),
    ),
    "toeplitz": (
        Mistake(_one_channel, "all input channels got the first one's weights"),
        Mistake(_channels_first, "x.ravel() has the channels of a frame side by side: row t·Ci + c, column t·Co + c"),
        Mistake(_one_window, "only the first window is there: column block t holds the kernel from row block t on"),
    ),
}
