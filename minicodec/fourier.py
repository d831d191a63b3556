"""Convolution and correlation of long signals, by the discrete Fourier transform [Oppenheim10, §8.7]."""

import numpy as np


def convolve(x: np.ndarray, w: np.ndarray, axis: int = -1) -> np.ndarray:
    """y[t] = Σ_k w[k] x[t-k] along an axis of x and w: (...,T,...) and (...,K,...) -> (...,T+K-1,...).

    The other axes broadcast. The result has the type of x and w, float32 or float64.
    """
    n = x.shape[axis] + w.shape[axis] - 1
    # Zeros behind both keep the end of the result out of its beginning. A size of small factors is fast.
    unit = 1 << max(n.bit_length() - 4, 0)
    size = next(many * unit for many in (8, 9, 10, 12, 15, 16) if many * unit >= n)
    y = np.fft.irfft(np.fft.rfft(x, size, axis) * np.fft.rfft(w, size, axis), size, axis)
    return np.take(y, range(n), axis)


def correlate(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signals x (...,T) and y (...,S) -> lags k (T+S-1,), from 1-S to T-1, and c[k] = Σ_t x[t+k] y[t] (...,T+S-1)."""
    return np.arange(1 - y.shape[-1], x.shape[-1]), convolve(x, y[..., ::-1])


def envelope(x: np.ndarray) -> np.ndarray:
    """The magnitude of the analytic signal of x (...,T): of x without its negative frequencies [Oppenheim10, §12.4]."""
    X = np.fft.rfft(x)
    T = x.shape[-1]
    X[..., 1 : (T + 1) // 2] *= 2  # each with its negative; 0 and half the sample rate have none
    return np.abs(np.fft.ifft(X, T))
