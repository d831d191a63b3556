"""Chapter 4."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch04_down_up import causal_padding, receptive_field
from minicodec.ops import conv_transpose1d as library
from minicodec.ops.conv1d import frames_of_tap


def _later_frames_win(x, w, *, stride=1):
    y = np.zeros_like(library.conv_transpose1d_forward(x, w, stride=stride)[0])
    for t in range(x.shape[1]):
        y[:, t * stride : t * stride + len(w)] = np.einsum("bi,kio->bko", x[:, t], w)
    return y


def _trimmed(x, w, *, stride=1):
    return library.conv_transpose1d_forward(x, w, stride=stride)[0][:, : x.shape[1] * stride]


def _averaged(x, w, *, stride=1):
    ones = library.conv_transpose1d_forward(np.ones_like(x[..., :1]), np.ones((len(w), 1, 1)), stride=stride)[0]
    return library.conv_transpose1d_forward(x, w, stride=stride)[0] / np.maximum(ones, 1)


def _first_tap_only(dy, saved, *, stride=1):
    x, w = saved
    dx = frames_of_tap(dy, 0, x.shape[1], stride, 1) @ w[0].T
    return dx, library.conv_transpose1d_backward(dy, saved, stride=stride)[1]


def _not_moved(dy, saved, *, stride=1):
    x, w = saved
    dx = library.conv_transpose1d_backward(dy[:, : x.shape[1] + len(w) - 1], saved)[0]
    return dx, library.conv_transpose1d_backward(dy, saved, stride=stride)[1]


def _flipped_in_dw(dy, saved, *, stride=1):
    dx, dw = library.conv_transpose1d_backward(dy, saved, stride=stride)
    return dx, dw[::-1].copy()


def _dilation_forgotten(layers):
    return receptive_field([(K, stride, 1) for K, stride, _ in layers])


MISTAKES = {
    "causal_padding": (
        Mistake(
            lambda K, stride, dilation, T: np.array([(K - 1) * dilation, 0]),
            "two things: `stride` frames of a window are its own (minus stride, plus 1), and the last one must be full",
        ),
        Mistake(
            lambda K, stride, dilation, T: np.array([(K - 1) * dilation + 1, -T % stride]),
            "that is a window's whole length; the last `stride` frames of it are the output's own: minus stride",
        ),
        Mistake(
            lambda K, stride, dilation, T: causal_padding(K, stride, dilation, T)[::-1].copy(),
            "left and right have changed places",
        ),
        Mistake(
            lambda K, stride, dilation, T: np.array([(K - 1) * dilation + 1 - stride, T % stride]),
            "T % stride is what is left over; what is missing to the next multiple is -T % stride",
        ),
    ),
    "receptive_field": (
        Mistake(_dilation_forgotten, "`dilation` is ignored: K taps span (K - 1)·dilation steps"),
        Mistake(
            lambda layers: receptive_field(layers) - 1, "one too few: an output sees at least one sample, so begin at 1"
        ),
        Mistake(
            lambda layers: int(np.prod([stride for _, stride, _ in layers])),
            "that is how far apart outputs lie (all strides); how much one of them sees is asked for",
        ),
        Mistake(lambda layers: receptive_field(layers[::-1]), "the layers are taken from the last to the first"),
    ),
    "conv_transpose1d_forward": (
        Mistake(_later_frames_win, "where windows overlap, the later frame wins: add (+=), do not assign"),
        Mistake(_trimmed, "the end is cut off: there are (T - 1)·stride + K frames"),
        Mistake(_averaged, "where windows overlap they are averaged; they should be added"),
    ),
    "conv_transpose1d_backward": (
        Mistake(_first_tap_only, "dx collects from all taps: frames t·stride + k of dy, for every k"),
        Mistake(_not_moved, "the windows do not move by `stride`: x[t] went to frame t·stride + k"),
        Mistake(_flipped_in_dw, "dw is flipped: dw[k] meets frame t·stride + k of dy"),
    ),
}
