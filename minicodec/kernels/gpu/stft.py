"""The STFT on a GPU: cuFFT does the transforms, the rest is one pass over memory each; formulas in ops/stft.py.

On the way back, every bin is scaled in one kernel. cuFFT, other than NumPy, promises nothing about bins 0 and n_fft/2
with an imaginary part, so these are set to 0. The overlapping frames are then added by a thread for each sample, which
looks up the frames that saw it.
"""

from functools import cache

import numpy as np

from minicodec.backend import xp
from minicodec.kernels.gpu.cuda import Kernels, contiguous
from minicodec.ops.stft import stft, stft_magnitude

KERNELS = Kernels(
    "stft",
    r"""
// What irfft of a gradient needs: it divides by n_fft and counts each bin with a mirror image twice.
__device__ float2 scaled(float re, float im, long long f, long long n_fft) {
    bool mirrored = f > 0 && 2 * f < n_fft;
    float2 bin;
    bin.x = mirrored ? re * n_fft / 2 : re * n_fft;
    bin.y = mirrored ? im * n_fft / 2 : 0;
    return bin;
}

// dy (frames,F,2) -> dY (frames,F)
extern "C" __global__ void stft_grad(const float* dy, float2* dY, long long n_fft, long long F, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dY[i] = scaled(dy[2 * i], dy[2 * i + 1], i % F, n_fft);
}

// Y, y = |Y|, dy (frames,F) -> dY (frames,F), in the direction of Y
extern "C" __global__ void magnitude_grad(const float2* Y, const float* y, const float* dy, float2* dY,
                                          long long n_fft, long long F, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float length = y[i] == 0 ? 1 : y[i];
    dY[i] = scaled(dy[i] * (Y[i].x / length), dy[i] * (Y[i].y / length), i % F, n_fft);
}

// frames (B,To,n_fft), window (n_fft) -> x (B,T), n = B·T
extern "C" __global__ void overlap_add(const float* frames, const float* window, float* x, long long T, long long To,
                                       long long n_fft, long long hop, long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long at = i % T, b = i / T;
    long long first = at < n_fft ? 0 : (at - n_fft) / hop + 1;  // the first frame that reaches so far
    float sum = 0;
    for (long long t = first; t < To && t * hop <= at; t++)
        sum += window[at - t * hop] * frames[(b * To + t) * n_fft + at - t * hop];
    x[i] = sum;
}
""",
)


@cache
def hann(cupy, n_fft, normalized):
    """The periodic Hann window (n_fft,), made once: nobody may write to it."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi / n_fft * np.arange(n_fft))
    if normalized:
        window /= np.sqrt((window**2).sum())
    return cupy.asarray(window.astype(np.float32))


def spectrum(x, n_fft, hop, normalized):
    """x (B,T) -> Y (B,To,F) complex."""
    if x.ndim != 2:
        raise ValueError(f"stft: signals (B,T) are needed, these are {x.shape}")
    if x.shape[1] < n_fft:
        raise ValueError(f"stft: {x.shape[1]} samples are shorter than one window of {n_fft}")
    frames = xp(x).lib.stride_tricks.sliding_window_view(x, n_fft, axis=1)[:, ::hop]
    return xp(x).fft.rfft(frames * hann(xp(x), n_fft, normalized))


def overlap_added(dY, T, n_fft, hop, normalized):
    """Scaled dY (B,To,F) -> dx (B,T)."""
    cupy, (B, To, _) = xp(dY), dY.shape
    (frames,) = contiguous(cupy.fft.irfft(dY, n_fft))
    dx = cupy.empty((B, T), np.float32)
    KERNELS.each("overlap_add", dx.size, frames, hann(cupy, n_fft, normalized), dx, T, To, n_fft, hop, dx.size)
    return dx


def stft_forward_cupy(x, *, n_fft, hop, normalized=False):
    """x (B,T) -> y (B,To,F,2), real and imaginary parts."""
    (Y,) = contiguous(spectrum(x, n_fft, hop, normalized))
    return Y.view(np.float32).reshape(*Y.shape, 2), x.shape[1]


def stft_backward_cupy(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F,2) -> dx (B,T)."""
    (dy,) = contiguous(dy)
    dY = xp(dy).empty(dy.shape[:3], np.complex64)
    KERNELS.each("stft_grad", dY.size, dy, dY, n_fft, dY.shape[2], dY.size)
    return (overlap_added(dY, saved, n_fft, hop, normalized),)


def stft_magnitude_forward_cupy(x, *, n_fft, hop, normalized=False):
    """x (B,T) -> y (B,To,F), |STFT|."""
    (Y,) = contiguous(spectrum(x, n_fft, hop, normalized))
    y = abs(Y)
    return y, (x.shape[1], Y, y)


def stft_magnitude_backward_cupy(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F) -> dx (B,T)."""
    T, Y, y = saved
    (dy,) = contiguous(dy)
    dY = xp(dy).empty(Y.shape, np.complex64)
    KERNELS.each("magnitude_grad", dY.size, Y, y, dy, dY, n_fft, Y.shape[2], dY.size)
    return (overlap_added(dY, T, n_fft, hop, normalized),)


stft.add("cupy", stft_forward_cupy, stft_backward_cupy)
stft_magnitude.add("cupy", stft_magnitude_forward_cupy, stft_magnitude_backward_cupy)
