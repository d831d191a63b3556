"""Chapter 4: strides, transposed convolution, causality."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops import conv_transpose1d as library
from minicodec.ops.conv1d import frames_of_tap


def _last_wins(x, w, *, stride=1):
    y = np.zeros_like(library.conv_transpose1d_forward(x, w, stride=stride)[0])
    for k in range(len(w)):
        frames_of_tap(y, k, x.shape[1], stride, 1)[...] = x @ w[k]
    return y


def _flipped(x, w, *, stride=1):
    return library.conv_transpose1d_forward(x, w[::-1], stride=stride)


def _not_moved(x, w, *, stride=1):
    y = np.zeros_like(library.conv_transpose1d_forward(x, w, stride=stride)[0])
    y[:, : x.shape[1] + len(w) - 1] = library.conv_transpose1d_forward(x, w)[0]
    return y


def _backward_flipped(dy, saved, *, stride=1):
    x, w = saved
    dx = library.conv_transpose1d_backward(dy, (x, w[::-1]), stride=stride)[0]
    return dx, library.conv_transpose1d_backward(dy, saved, stride=stride)[1]


def _backward_mean(dy, saved, *, stride=1):
    dx, dw = library.conv_transpose1d_backward(dy, saved, stride=stride)
    return dx, dw / dy.shape[1]


def causal_padding(K, stride, dilation, T):
    """K, stride, dilation, T (numbers) -> pad (2): frames to add on the left and on the right of T frames.

    The output must have ceil(T / stride) frames, each of which sees no input later than the end of its own stride:
    output t may look at frames before (t + 1)·stride only. Right padding does nothing but fill the last window.
    """
    return np.array([(K - 1) * dilation + 1 - stride, -T % stride])


def _both_sides(K, stride, dilation, T):
    left, right = causal_padding(K, stride, dilation, T)
    return np.array([left - left // 2, right + left // 2])


def _stride_forgotten(K, stride, dilation, T):
    return np.array([(K - 1) * dilation, -T % stride])


def _dilation_forgotten(K, stride, dilation, T):
    return np.array([K - stride, -T % stride])


def _last_window_cut(K, stride, dilation, T):
    return np.array([(K - 1) * dilation + 1 - stride, 0])


def _layers(rng, fresh):
    more = int(fresh)
    yield 7, 1, 1, 20 + more
    yield 4, 2, 1, 9 + more
    yield 16, 8, 1, 320 + more
    yield 3, 1, 4, 10 + more
    yield 10 + 2 * more, 5, 1, 13
    yield 3, 2, 2, 8  # a whole number of strides
    yield 2 + more, 2 + more, 1, 7  # windows side by side


def receptive_field(layers):
    """layers (a list of (K, stride, dilation), first layer first) -> n: input samples that one output can see."""
    n, step = 1, 1
    for K, stride, dilation in layers:
        n += (K - 1) * dilation * step
        step *= stride
    return n


def _added_up(layers):
    return 1 + sum((K - 1) * dilation for K, _, dilation in layers)


def _own_stride_first(layers):
    n, step = 1, 1
    for K, stride, dilation in layers:
        step *= stride
        n += (K - 1) * dilation * step
    return n


def _kernels_whole(layers):
    n, step = 1, 1
    for K, stride, dilation in layers:
        n += K * dilation * step
        step *= stride
    return n


def _stacks(rng, fresh):
    more = int(fresh)
    yield ([(7 + more, 1, 1)],)
    yield ([],)
    yield ([(1, 3, 1), (3, 1, 1)],)
    yield ([(3, 1, 1), (3, 1, 2), (3, 1, 4 + more)],)
    yield ([(4, 2, 1), (4, 2, 1), (3 + more, 1, 1)],)
    yield ([(7, 1, 1), (3, 1, 1), (1, 1, 1), (4, 2, 1), (3, 1, 1), (8, 4, 1), (7, 1, 1 + more)],)


EXERCISES = [
    of_function(
        causal_padding, 4, _layers,
        mistakes=(
            Mistake(_both_sides, "half of the padding stands on the right: then outputs see the future"),
            Mistake(_stride_forgotten, "too much on the left: the last `stride` frames of a window are its own"),
            Mistake(_dilation_forgotten, "a window is (K - 1)·dilation + 1 frames long, not K"),
            Mistake(_last_window_cut, "the last window is not full: the frames at the end are lost"),
        ),
        hint="output t sees a window of (K - 1)·dilation + 1 frames; where must it end?",
    ),
    of_function(
        receptive_field, 4, _stacks,
        mistakes=(
            Mistake(_added_up, "strides are left out: behind a stride of 2, a step of one frame is two samples"),
            Mistake(_own_stride_first, "a layer's own stride spreads the layers behind it, not its own taps"),
            Mistake(_kernels_whole, "K taps span K - 1 steps, not K"),
        ),
        hint="go from the input up and keep two numbers: what an output sees, and the samples between its taps.",
    ),
    of_op(
        "conv_transpose1d", "forward", chapter=4, points=2,
        mistakes=(
            Mistake(_last_wins, "an output is assigned where it should be added to (+=): windows overlap"),
            Mistake(_flipped, "the kernel is flipped: x[t] @ w[k] goes to frame t·stride + k"),
            Mistake(_not_moved, "the windows do not move by `stride`: the one of frame t begins at t·stride"),
        ),
        hint="allocate (T - 1)·stride + K frames of zeros; for each tap k, x @ w[k] goes to frames k, k + stride, ...",
    ),
    of_op(
        "conv_transpose1d", "backward", chapter=4, points=2, variant_of="conv_transpose1d_forward",
        mistakes=(
            Mistake(_backward_flipped, "the kernel is flipped in dx: frame t·stride + k was made with w[k]"),
            Mistake(_backward_mean, "dw is a sum over time and batch, not a mean"),
        ),
        hint="saved is (x, w). x[t] met w[k] on its way to frame t·stride + k.",
    ),
]  # fmt: skip
