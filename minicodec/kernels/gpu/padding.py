"""Padding on a GPU: each frame looks up where it comes from, forward and backward.

The definition (ops/padding.py) lists the images that a mirror shows and writes them one by one. A GPU would have to
wait until the list is ready, and a frame with two images would be added to twice at the same time. Here a thread owns
one number of the result. With `last` the frame at which the right mirror stands, outside frame o shows frame
last - |last - |o||; the other way round, frame s is seen at -s and at 2·last - s, if padding reaches that far.

On the way, ELU may be applied (ops/fused.py), and on the way back its derivative.
"""

from minicodec.backend import xp
from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.ops.padding import pad1d

KERNELS = Kernels(
    "padding",
    r"""
extern "C" __global__ void pad(const float* x, float* y, long long T, long long C, long long left, long long right,
                               long long last, long long reflect, long long elu, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long To = left + T + right, c = i % C, t = i / C % To - left, b = i / C / To;
    if (reflect && (t < 0 || t >= T)) {
        t = t < 0 ? -t : t;
        t = last - (t < last ? last - t : t - last);
    }
    float value = t >= 0 && t < T ? x[(b * T + t) * C + c] : 0.0f;
    y[i] = elu && value < 0 ? expm1f(value) : value;
}

// y is what `pad` made; it is looked at only if it applied ELU.
extern "C" __global__ void pad_grad(const float* y, const float* dy, float* dx, long long T, long long C,
                                    long long left, long long right, long long last, long long reflect,
                                    long long elu, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long To = left + T + right, c = i % C, t = i / C % T, b = i / C / T;
    const float* item = dy + b * To * C + c;
    long long own = (left + t) * C;
    float sum = item[own];
    if (reflect) {
        if (t >= 1 && t <= left) sum += item[(left - t) * C];
        long long image = 2 * last - t;
        if (image >= T && image < T + right) sum += item[(left + image) * C];
    }
    float value = elu ? y[b * To * C + own + c] : 1;
    dx[i] = value > 0 ? sum : sum * (value + 1);
}
""",
)


def arguments(T, C, left, right, mode, elu):
    """What both kernels are told."""
    last = max(T, left + 1, right + 1) - 1
    return T, C, left, right, last, int(mode == "reflect"), int(elu)


def padded(x, left, right, mode, elu=False):
    """x (B,T,C) -> y (B,left + T + right,C), of elu(x) or x; mode "zero" or "reflect"."""
    if left < 0 or right < 0:
        raise ValueError(f"pad1d: left {left} and right {right} must not be negative")
    if mode not in ("zero", "reflect"):
        raise ValueError(f"pad1d: no mode called {mode!r}: choose zero or reflect")
    (x,) = contiguous(x)
    B, T, C = x.shape
    y = xp(x).empty((B, left + T + right, C), x.dtype)
    KERNELS.each("pad", y.size, x, y, *arguments(T, C, left, right, mode, elu), y.size)
    return y


def padded_backward(dy, y, T, left, right, mode, elu=False):
    """dy (B,To,C), y (B,To,C) that `padded` made -> dx (B,T,C)."""
    (dy,) = contiguous(dy)
    B, _, C = dy.shape
    dx = xp(dy).empty((B, T, C), dy.dtype)
    KERNELS.each("pad_grad", dx.size, y, dy, dx, *arguments(T, C, left, right, mode, elu), dx.size)
    return dx


def pad1d_forward_cupy(x, *, left, right, mode="zero"):
    """x (B,T,C) -> y (B,To,C), To = left + T + right."""
    return padded(x, left, right, mode), x.shape[1]


def pad1d_backward_cupy(dy, saved, *, left, right, mode="zero"):
    """dy (B,To,C) -> dx (B,T,C)."""
    (dy,) = contiguous(dy)
    return (padded_backward(dy, dy, saved, left, right, mode),)


pad1d.add("cupy", pad1d_forward_cupy, pad1d_backward_cupy)
