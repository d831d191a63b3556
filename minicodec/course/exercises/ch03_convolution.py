"""Chapter 3: convolution and its adjoint."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops import conv1d as library


def _flipped(x, w, *, stride=1, dilation=1):
    return library.conv1d_forward(x, w[::-1], stride=stride, dilation=dilation)


def _stride_ignored(x, w, *, stride=1, dilation=1):
    y = library.conv1d_forward(x, w, dilation=dilation)[0]
    return y[:, : library.output_length(x.shape[1], len(w), stride, dilation)]


def _last_tap_only(x, w, *, stride=1, dilation=1):
    To = library.output_length(x.shape[1], len(w), stride, dilation)
    return library.frames_of_tap(x, len(w) - 1, To, stride, dilation) @ w[-1]


def _stride_for_dilation(x, w, *, stride=1, dilation=1):
    To = library.output_length(x.shape[1], len(w), stride, dilation)
    return sum(x[:, (np.arange(To) * dilation + k * stride) % x.shape[1]] @ w[k] for k in range(len(w)))


def _assigned_frame_by_frame(dy, saved, *, stride=1, dilation=1):
    x, w = saved
    dx, dw = np.zeros_like(x), library.conv1d_backward(dy, saved, stride=stride, dilation=dilation)[1]
    for t in range(dy.shape[1]):
        for k in range(len(w)):
            dx[:, t * stride + k * dilation] = dy[:, t] @ w[k].T
    return dx, dw


def _same_frame_for_all_taps(dy, saved, *, stride=1, dilation=1):
    x, w = saved
    dw = np.tensordot(library.frames_of_tap(x, 0, dy.shape[1], stride, dilation), dy, axes=((0, 1), (0, 1)))
    return library.conv1d_backward(dy, saved, stride=stride, dilation=dilation)[0], np.stack([dw] * len(w))


def _assigned(dy, saved, *, stride=1, dilation=1):
    x, w = saved
    dx, dw = np.zeros_like(x), library.conv1d_backward(dy, saved, stride=stride, dilation=dilation)[1]
    for k in range(len(w)):
        library.frames_of_tap(dx, k, dy.shape[1], stride, dilation)[...] = dy @ w[k].T
    return dx, dw


def _flipped_in_dx(dy, saved, *, stride=1, dilation=1):
    x, w = saved
    dx = library.conv1d_backward(dy, (x, w[::-1]), stride=stride, dilation=dilation)[0]
    return dx, library.conv1d_backward(dy, saved, stride=stride, dilation=dilation)[1]


def toeplitz(w: np.ndarray, T: int) -> np.ndarray:
    """w (K,Ci,Co) -> A (T*Ci,To*Co): the matrix with conv1d(x, w).ravel() == x.ravel() @ A, To = T - K + 1."""
    K, Ci, Co = w.shape
    To = T - K + 1
    A = np.zeros((T, Ci, To, Co))
    for t in range(To):
        A[t : t + K, :, t] = w
    return A.reshape(T * Ci, To * Co)


def _toeplitz_transposed(w, T):
    K, Ci, Co = w.shape
    return toeplitz(w, T).reshape(T * Ci, -1).T.reshape(T * Ci, (T - K + 1) * Co)


def _toeplitz_flipped(w, T):
    return toeplitz(w[::-1], T)


def _toeplitz_arguments(rng, fresh):
    extra = int(rng.integers(1, 4)) if fresh else 0
    for K, Ci, Co, T in [(3, 1, 1, 5), (2, 3, 2, 6), (4, 2, 3, 4)]:
        yield rng.normal(size=(K, Ci, Co)), T + extra


EXERCISES = [
    of_op(
        "conv1d", "forward", chapter=3,
        mistakes=(
            Mistake(_flipped, "the kernel is flipped: tap k belongs to frame t·stride + k·dilation"),
            Mistake(_last_tap_only, "y is assigned where it should be added to (+=): only the last tap is left"),
            Mistake(_stride_for_dilation, "stride and dilation have changed places: the stride moves windows"),
            Mistake(_stride_ignored, "the windows do not move by `stride`: they begin at 0, 1, 2, ..."),
        ),
        hint="y[:, t] is the sum over k of x[:, t·stride + k·dilation] @ w[k].",
    ),
    of_op(
        "conv1d", "backward", chapter=3, points=2,
        mistakes=(
            Mistake(_assigned, "dx is assigned where it should be added to (+=): a frame belongs to several windows"),
            Mistake(_assigned_frame_by_frame, "dx is assigned where it should be added to (+=): windows overlap"),
            Mistake(_same_frame_for_all_taps, "dw[k] must meet the frames that tap k saw: t·stride + k·dilation"),
            Mistake(_flipped_in_dx, "the kernel is flipped in dx: the frame that tap k read gets dy @ w[k].T"),
        ),
        hint="frame t·stride + k·dilation met w[k] on the way to y[:, t]; send dy[:, t] back the same way.",
    ),
    of_function(
        toeplitz, 3, _toeplitz_arguments,
        mistakes=(
            Mistake(_toeplitz_transposed, "the matrix is transposed: x.ravel() stands on its left"),
            Mistake(_toeplitz_flipped, "the kernel is flipped: tap k stands k frames below the window's first"),
        ),
        hint="column block t holds the kernel, in the rows of frames t ... t + K - 1.",
    ),
]  # fmt: skip
