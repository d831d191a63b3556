"""Padding on a GPU: each frame looks up where it comes from, forward and backward.

The definition (ops/padding.py) lists the images that a mirror shows and writes them one by one. A GPU would have to
wait until the list is ready, and a frame with two images would be added to twice at the same time. Here a thread owns
one number of the result. With `last` the frame at which the right mirror stands, outside frame o shows frame
last - |last - |o||; the other way round, frame s is seen at -s and at 2·last - s, if padding reaches that far.
"""

from minicodec.backend import xp
from minicodec.ops.cuda import Kernels, contiguous

KERNELS = Kernels(
    "padding",
    r"""
extern "C" __global__ void pad(const float* x, float* y, long long T, long long C, long long left, long long right,
                               long long last, long long reflect, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long To = left + T + right, c = i % C, t = i / C % To - left, b = i / C / To;
    if (reflect && (t < 0 || t >= T)) {
        t = t < 0 ? -t : t;
        t = last - (t < last ? last - t : t - last);
    }
    y[i] = t >= 0 && t < T ? x[(b * T + t) * C + c] : 0.0f;
}

extern "C" __global__ void pad_grad(const float* dy, float* dx, long long T, long long C, long long left,
                                    long long right, long long last, long long reflect, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long To = left + T + right, c = i % C, t = i / C % T, b = i / C / T;
    const float* item = dy + b * To * C + c;
    float sum = item[(left + t) * C];
    if (reflect) {
        if (t >= 1 && t <= left) sum += item[(left - t) * C];
        long long image = 2 * last - t;
        if (image >= T && image < T + right) sum += item[(left + image) * C];
    }
    dx[i] = sum;
}
""",
)


def arguments(T, C, left, right, mode):
    """What both kernels are told."""
    last = max(T, left + 1, right + 1) - 1
    return T, C, left, right, last, int(mode == "reflect")


def pad1d_forward_cupy(x, *, left, right, mode="zero"):
    """x (B,T,C) -> y (B,To,C), To = left + T + right."""
    if left < 0 or right < 0:
        raise ValueError(f"pad1d: left {left} and right {right} must not be negative")
    if mode not in ("zero", "reflect"):
        raise ValueError(f"pad1d: no mode called {mode!r}: choose zero or reflect")
    (x,) = contiguous(x)
    B, T, C = x.shape
    y = xp(x).empty((B, left + T + right, C), x.dtype)
    KERNELS.each("pad", y.size, x, y, *arguments(T, C, left, right, mode), y.size)
    return y, T


def pad1d_backward_cupy(dy, saved, *, left, right, mode="zero"):
    """dy (B,To,C) -> dx (B,T,C)."""
    (dy,) = contiguous(dy)
    B, _, C = dy.shape
    dx = xp(dy).empty((B, saved, C), dy.dtype)
    KERNELS.each("pad_grad", dx.size, dy, dx, *arguments(saved, C, left, right, mode), dx.size)
    return (dx,)
