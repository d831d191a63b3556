"""The short-time Fourier transform: what frequencies are in a signal, and when.

A window of n_fft samples slides over the signal in steps of `hop`; each windowed frame is Fourier transformed. With
h the periodic Hann window and θ = 2π f n / n_fft, for f = 0 ... n_fft/2 (the other half is its mirror image):

    Y[b, t, f] = Σ_n  h[n] · x[b, t·hop + n] · e^(-iθ)         Re Y = Σ h x cos θ,     Im Y = -Σ h x sin θ

The discriminators look at real and imaginary parts as two channels (`stft`), the mel loss at |Y| (`stft_magnitude`)
[Defossez22, §3.3, §3.4]. `normalized` divides by sqrt(Σ h²), so that white noise of variance 1 gives E|Y|² = 1 at any
window size. Frames lie wholly inside x: who wants centred frames pads first.
"""

import math

from minicodec.backend import Op, xp


def hann(n_fft, like, normalized):
    """The periodic Hann window (n_fft,), in the precision and on the device of `like`."""
    window = 0.5 - 0.5 * xp(like).cos(2 * math.pi / n_fft * xp(like).arange(n_fft))
    if normalized:
        window /= xp(like).sqrt((window**2).sum())
    return window.astype(like.dtype)


def spectrum(x, n_fft, hop, window):
    """x (B,T) -> Y (B,To,F) complex, To = 1 + (T - n_fft)//hop, F = n_fft//2 + 1."""
    if x.ndim != 2:
        raise ValueError(f"stft: signals (B,T) are needed, these are {x.shape}")
    if x.shape[1] < n_fft:
        raise ValueError(f"stft: {x.shape[1]} samples are shorter than one window of {n_fft}")
    frames = xp(x).lib.stride_tricks.sliding_window_view(x, n_fft, axis=1)[:, ::hop]
    return xp(x).fft.rfft(frames * window)


def spectrum_adjoint(dY, T, n_fft, hop, window):
    """dY (B,To,F) complex, dL/dRe Y + i dL/dIm Y -> dx (B,T).

    From the formulas of Re Y and Im Y, the gradient of one windowed frame is

        Σ_f  dRe_f cos θ - dIm_f sin θ  =  Re Σ_f dY_f e^(iθ)

    which is an inverse transform, save that irfft divides by n_fft and counts each bin with a mirror image twice: all
    but f = 0 and, when n_fft is even, f = n_fft/2. (At those two sin θ = 0: their imaginary parts count for nothing,
    and irfft ignores them.)
    """
    B, To, _ = dY.shape
    dY = dY * n_fft
    dY[..., 1 : (n_fft + 1) // 2] /= 2
    dframes = xp(dY).fft.irfft(dY, n_fft) * window

    # Frames overlap, and their gradients add. Cut frames and signal into blocks of `hop` samples: block j of frame t
    # is block t + j of the signal.
    J = math.ceil(n_fft / hop)
    dx = xp(dframes).zeros((B, To + J, hop), dframes.dtype)
    for j in range(J):
        block = dframes[:, :, j * hop : (j + 1) * hop]
        dx[:, j : j + To, : block.shape[2]] += block
    return dx.reshape(B, (To + J) * hop)[:, :T]


def stft_forward(x, *, n_fft, hop, normalized=False):
    """x (B,T) -> y (B,To,F,2), real and imaginary parts, To = 1 + (T - n_fft)//hop, F = n_fft//2 + 1."""
    window = hann(n_fft, x, normalized)
    Y = xp(x).ascontiguousarray(spectrum(x, n_fft, hop, window))
    y = Y.view(Y.real.dtype).reshape(*Y.shape, 2)  # in memory, a complex number is its two parts
    return y, (x.shape[1], window)


def stft_backward(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F,2) -> dx (B,T)."""
    T, window = saved
    return (spectrum_adjoint(dy[..., 0] + 1j * dy[..., 1], T, n_fft, hop, window),)


stft = Op("stft", stft_forward, stft_backward)


def stft_magnitude_forward(x, *, n_fft, hop, normalized=False):
    """x (B,T) -> y (B,To,F), |STFT|, To = 1 + (T - n_fft)//hop, F = n_fft//2 + 1."""
    window = hann(n_fft, x, normalized)
    Y = spectrum(x, n_fft, hop, window)
    y = abs(Y)
    return y, (x.shape[1], window, Y, y)


def stft_magnitude_backward(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F) -> dx (B,T).

    |Y| grows fastest in the direction Y/|Y|. At Y = 0 all directions are equal, and the gradient here is 0.
    """
    T, window, Y, y = saved
    direction = Y / xp(y).where(y == 0, 1, y)
    return (spectrum_adjoint(dy * direction, T, n_fft, hop, window),)


stft_magnitude = Op("stft_magnitude", stft_magnitude_forward, stft_magnitude_backward)
