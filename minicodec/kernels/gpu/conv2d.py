"""conv2d on a GPU, for stride 1 in time and dilation 1 in frequency, as all discriminators have.

Write all frames of all items one after the other on a line, with pf zeros in front of each frame (those behind it are
those in front of the next) and pt frames of zeros around each item. On this line windows lie at equal distances, across
the ends of frames and items too. So the convolution is one product over overlapping rows [cublas.py], with the
taps in time as its taps; the windows that straddle two frames or items, about pf of F and 2·pt of T, are computed for
nothing and dropped. With `windows` of a frame, dropped ones included, and positions sf apart, sf·windows of a frame:

    forward     z[m] = Σ_k line[m·sf + k·dt·(sf·windows) : ... + Kf] w[k]        m counts windows
    backward    the windows' gradients on a line of their own, 0 where a window was dropped: the transposed product
                gives dw; and the positions m·sf ... m·sf + sf - 1 of x have met the windows m, m - 1, ..., m - J + 1,
                J = ceil(Kf / sf), so dx is a product over rows of J windows, as `spread` in kernels/gpu/conv1d.py
"""

from typing import NamedTuple

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.arithmetic import column_sums_cupy
from minicodec.kernels.gpu.cublas import multiply, multiply_transposed
from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.ops.conv2d import conv2d, conv2d_backward, conv2d_forward
from minicodec.ops.fused import conv2d_leaky_relu, conv2d_leaky_relu_backward, conv2d_leaky_relu_forward

KERNELS = Kernels(
    "conv2d",
    r"""
// Both: y, dy (items,To,Fo,Co), and on the line z, dz (items,frames,windows,Co).
__device__ long long on_line(long long i, long long To, long long Fo, long long Co, long long frames,
                             long long windows) {
    long long o = i % Co, f = i / Co % Fo, t = i / Co / Fo % To, b = i / Co / Fo / To;
    return ((b * frames + t) * windows + f) * Co + o;
}

extern "C" __global__ void bias_leaky_relu(const float* z, const float* bias, float* y, float slope, long long To,
                                           long long Fo, long long Co, long long frames, long long windows,
                                           long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float x = z[on_line(i, To, Fo, Co, frames, windows)] + bias[i % Co];
    y[i] = x > 0 ? x : slope * x;
}

extern "C" __global__ void leaky_relu_grad(const float* y, const float* dy, float* dz, float slope, long long To,
                                           long long Fo, long long Co, long long frames, long long windows,
                                           long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dz[on_line(i, To, Fo, Co, frames, windows)] = dy[i] * (y[i] > 0 ? 1.0f : slope);
}
""",
)


class Line(NamedTuple):
    """How x (B,T,F,C) lies on the line: positions, and windows that begin at every sf-th."""

    B: int
    frames: int  # of an item, T + 2·pt
    windows: int  # of a frame
    To: int  # frames and windows that are not dropped
    Fo: int
    step: int  # sf
    tap: int  # windows between the taps in time

    @property
    def shape(self):
        """(B, frames, windows)."""
        return self.B, self.frames, self.windows

    @property
    def rows(self):
        """All windows."""
        return self.B * self.frames * self.windows


def layout(x_shape, w_shape, stride, dilation, padding):
    """The Line for these shapes."""
    (B, T, F, _), (Kt, Kf, _, _) = x_shape, w_shape
    (pt, pf), sf, dt = padding, stride[1], dilation[0]
    frames, To, Fo = T + 2 * pt, T + 2 * pt - (Kt - 1) * dt, (F + 2 * pf - Kf) // sf + 1
    if To < 1 or Fo < 1:
        raise ValueError(f"conv2d: {frames} x {F + 2 * pf} is smaller than one window")
    windows = max(Fo, -(-(F + pf) // sf))
    return Line(B, frames, windows, To, Fo, sf, dt * windows)


def write_line(x, w_shape, line, padding):
    """x (B,T,F,C) -> the line, with zeros behind it for the last windows to end in."""
    (_, T, F, C), (pt, pf) = x.shape, padding
    row = line.step * C
    numbers = xp(x).zeros((line.rows + (w_shape[0] - 1) * line.tap) * row + w_shape[1] * C, np.float32)
    numbers[: line.rows * row].reshape(line.B, line.frames, -1, C)[:, pt : pt + T, pf : pf + F] = x
    return numbers


def windows_times(x, w, line, padding):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> z (B,frames,windows,Co)."""
    Kt, Kf, Ci, Co = w.shape
    z = xp(x).empty((1, line.rows, Co), np.float32)
    (w,) = contiguous(w)
    steps = {"batch_step": 0, "row_step": line.step * Ci, "tap_step": line.tap * line.step * Ci}
    multiply(write_line(x, w.shape, line, padding), w.reshape(Kt, Kf * Ci, Co), z, **steps)
    return z.reshape(*line.shape, Co)


def empty_gradients(w_shape, line, like):
    """(numbers, dz): zeros, and the view of them, (B,frames,windows,Co), where the windows' gradients go.

    In front of it are as many zeros as the first position of x looks back, behind it none.
    """
    Kt, Kf, _, Co = w_shape
    front = (Kt - 1) * line.tap + -(-Kf // line.step) - 1
    numbers = xp(like).zeros((front + line.rows) * Co, np.float32)
    return numbers, numbers[front * Co :].reshape(*line.shape, Co)


def gradients(numbers, dz, x, w, line, padding, needs):
    """What `empty_gradients` made, dz filled -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co)."""
    (B, T, F, Ci), (Kt, Kf, _, Co), (pt, pf), sf = x.shape, w.shape, padding, line.step
    dx = dw = None
    if needs[0]:
        J = -(-Kf // sf)
        taps = xp(w).zeros((Kt, J * sf, Ci, Co), np.float32)
        taps[:, :Kf] = w
        taps = taps.reshape(Kt, J, sf, Ci, Co)[::-1, ::-1].transpose(0, 1, 4, 2, 3).reshape(Kt, J * Co, sf * Ci)
        dline = xp(x).empty((1, line.rows, sf * Ci), np.float32)
        multiply(numbers, taps, dline, batch_step=0, row_step=Co, tap_step=line.tap * Co)
        (dx,) = contiguous(dline.reshape(B, line.frames, -1, Ci)[:, pt : pt + T, pf : pf + F])
    if needs[1]:
        steps = {"batch_step": line.frames * line.windows * sf * Ci, "row_step": sf * Ci}
        tap_step = line.tap * sf * Ci
        x_line, rows = write_line(x, w.shape, line, padding), dz.reshape(B, -1, Co)
        dw = multiply_transposed(x_line, rows, taps=Kt, P=Kf * Ci, **steps, tap_step=tap_step).reshape(w.shape)
    return dx, dw


def conv2d_forward_line(x, w, *, stride, dilation, padding):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co)."""
    line = layout(x.shape, w.shape, stride, dilation, padding)
    (y,) = contiguous(windows_times(x, w, line, padding)[:, : line.To, : line.Fo])
    return y, (x, w)


def conv2d_backward_line(dy, saved, *, stride, dilation, padding, needs):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co)."""
    x, w = saved
    line = layout(x.shape, w.shape, stride, dilation, padding)
    numbers, dz = empty_gradients(w.shape, line, dy)
    dz[:, : line.To, : line.Fo] = dy
    return gradients(numbers, dz, x, w, line, padding, needs)


def conv2d_leaky_relu_forward_line(x, w, b, *, slope, stride, dilation, padding):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co), b (Co) -> y (B,To,Fo,Co). Bias and activation on the way from the line to y."""
    line = layout(x.shape, w.shape, stride, dilation, padding)
    z, (b,) = windows_times(x, w, line, padding), contiguous(b)
    y = xp(x).empty((line.B, line.To, line.Fo, w.shape[3]), np.float32)
    sizes = (*y.shape[1:], line.frames, line.windows, y.size)
    KERNELS.each("bias_leaky_relu", y.size, z, b, y, float(slope), *sizes)
    return y, ((x, w), y)


def conv2d_leaky_relu_backward_line(dy, saved, *, slope, stride, dilation, padding, needs):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co), db (Co)."""
    (x, w), y = saved
    line = layout(x.shape, w.shape, stride, dilation, padding)
    numbers, dz = empty_gradients(w.shape, line, dy)
    sizes = (*y.shape[1:], line.frames, line.windows, y.size)
    KERNELS.each("leaky_relu_grad", y.size, y, *contiguous(dy), dz, float(slope), *sizes)
    dx, dw = gradients(numbers, dz, x, w, line, padding, needs)
    return dx, dw, column_sums_cupy(dz.reshape(-1, dz.shape[-1])) if needs[2] else None


def conv2d_forward_cupy(x, w, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co) -> y (B,To,Fo,Co)."""
    if stride[0] > 1 or dilation[1] > 1:  # no discriminator has such a layer
        return conv2d_forward(x, w, stride=stride, dilation=dilation, padding=padding)
    return conv2d_forward_line(x, w, stride=stride, dilation=dilation, padding=padding)


def conv2d_backward_cupy(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0), needs=(True, True)):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co)."""
    if stride[0] > 1 or dilation[1] > 1:
        return conv2d_backward(dy, saved, stride=stride, dilation=dilation, padding=padding)
    return conv2d_backward_line(dy, saved, stride=stride, dilation=dilation, padding=padding, needs=needs)


conv2d.add("cupy", conv2d_forward_cupy, conv2d_backward_cupy)


def conv2d_leaky_relu_forward_cupy(x, w, b, *, slope=0.2, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """x (B,T,F,Ci), w (Kt,Kf,Ci,Co), b (Co) -> y (B,To,Fo,Co)."""
    attrs = {"slope": slope, "stride": stride, "dilation": dilation, "padding": padding}
    if stride[0] > 1 or dilation[1] > 1:
        return conv2d_leaky_relu_forward(x, w, b, **attrs)
    return conv2d_leaky_relu_forward_line(x, w, b, **attrs)


def conv2d_leaky_relu_backward_cupy(
    dy, saved, *, slope=0.2, stride=(1, 1), dilation=(1, 1), padding=(0, 0), needs=(True, True, True)
):
    """dy (B,To,Fo,Co) -> dx (B,T,F,Ci), dw (Kt,Kf,Ci,Co), db (Co)."""
    attrs = {"slope": slope, "stride": stride, "dilation": dilation, "padding": padding}
    if stride[0] > 1 or dilation[1] > 1:
        return conv2d_leaky_relu_backward(dy, saved, **attrs)
    return conv2d_leaky_relu_backward_line(dy, saved, **attrs, needs=needs)


conv2d_leaky_relu.add("cupy", conv2d_leaky_relu_forward_cupy, conv2d_leaky_relu_backward_cupy)
