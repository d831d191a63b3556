"""Chapter 10: how far the decoded sound is from the original, as a wave and as mel spectrograms."""

import numpy as np

from minicodec.course.my_codec.tensor import Tensor


def hann(n_fft):
    """The periodic Hann window (n_fft,) float32, divided by the root of the sum of its squares."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi / n_fft * np.arange(n_fft))
    return (window / np.sqrt((window**2).sum())).astype(np.float32)


def stft_forward(x, *, n_fft, hop, normalized=False):
    """x (B,T) -> y (B,To,F,2), real and imaginary parts, To = 1 + (T - n_fft)//hop, F = n_fft//2 + 1."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi / n_fft * np.arange(n_fft))
    if normalized:
        window = window / np.sqrt((window**2).sum())
    frames = np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=1)[:, ::hop]
    Y = np.fft.rfft(frames * window.astype(x.dtype))
    return np.stack([Y.real, Y.imag], axis=-1)


def stft_backward(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F,2) -> dx (B,T). saved: (T, window)."""
    T, window = saved
    dY = (dy[..., 0] + 1j * dy[..., 1]) * n_fft
    dY[..., 1 : (n_fft + 1) // 2] /= 2  # irfft counts all but the first bin, and the last of an even n_fft, twice
    dframes = np.fft.irfft(dY, n_fft) * window
    dx = np.zeros((len(dy), T), dframes.dtype)
    for t in range(dframes.shape[1]):
        dx[:, t * hop : t * hop + n_fft] += dframes[:, t]
    return dx


def stft_magnitude_backward(dy, saved, *, n_fft, hop, normalized=False):
    """dy (B,To,F) -> dx (B,T). saved: (T, window, Y, |Y|), Y complex."""
    T, window, Y, y = saved
    dY = dy * Y / np.where(y == 0, 1, y)
    return stft_backward(np.stack([dY.real, dY.imag], axis=-1), (T, window), n_fft=n_fft, hop=hop)


def mel_filterbank(sample_rate, window, bins):
    """Triangular filters from 0 Hz to half the sample rate -> (F,bins), F = window//2 + 1: |STFT| @ filters."""
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate)
    highest = 2595 * np.log10(1 + sample_rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, bins + 2) / 2595) - 1)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    rising, falling = (frequencies[:, None] - low) / (centre - low), (high - frequencies[:, None]) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling))
    if not filters.max(axis=0).all():
        raise ValueError(f"a filter is empty: {bins} are too many for windows of {window}")
    return filters


def mel_loss_backward(mel, target):
    """mel (B,T,M), target (B,T,M) -> dmel (B,T,M): the gradient of mean |S - R| + mean (log10 (S+e) - log10 (R+e))²."""
    difference = np.log10(mel + 1e-5) - np.log10(target + 1e-5)
    return (np.sign(mel - target) + 2 * difference / (np.log(10) * (mel + 1e-5))) / mel.size


def l1_loss(x, target):
    """x (*x), a Tensor; target (*x), an array -> a Tensor of one number, mean |x - target|.

    Where both are equal, the slope is 0.
    """
    difference = x.data - target
    return Tensor(np.abs(difference).mean(), (x,), lambda dl: (dl * np.sign(difference) / difference.size,))


def stft(x, n_fft):
    """x (B,T,1), a Tensor -> y (B,To,F,2), a Tensor: normalized, hop n_fft // 4. stft_backward sends gradients back."""
    options = {"n_fft": n_fft, "hop": n_fft // 4, "normalized": True}
    saved = (x.data.shape[1], hann(n_fft))
    y = stft_forward(x.data[..., 0], **options)
    return Tensor(y, (x,), lambda dy: (stft_backward(dy, saved, **options)[..., None],))


def mel_spectrogram(x, n_fft, filters):
    """x (B,T,1), a Tensor; filters (F,M) -> mel (B,To,M), a Tensor: the magnitudes of the STFT, times the filters.

    hop = n_fft // 4; (n_fft - hop) // 2 zeros stand on both sides of x. The STFT is stft_forward's, normalized; the
    gradient goes back through stft_magnitude_backward.
    """
    T, hop = x.data.shape[1], n_fft // 4
    side = (n_fft - hop) // 2
    padded = np.pad(x.data[..., 0], ((0, 0), (side, side)))
    parts = stft_forward(padded, n_fft=n_fft, hop=hop, normalized=True)
    Y = parts[..., 0] + 1j * parts[..., 1]
    saved = (padded.shape[1], hann(n_fft), Y, np.abs(Y))

    def send_back(dmel):
        dpadded = stft_magnitude_backward(dmel @ filters.T, saved, n_fft=n_fft, hop=hop, normalized=True)
        return (dpadded[:, side : side + T, None],)

    return Tensor(np.abs(Y) @ filters, (x,), send_back)


def mel_distance(mel, target):
    """mel (B,T,M), a Tensor; target (B,T,M), an array -> a Tensor of one number.

    mean |S - R| + mean (log10 (S + e) - log10 (R + e))², S of mel, R of target, e = 1e-5.
    """
    logarithms = np.log10(mel.data + 1e-5) - np.log10(target + 1e-5)
    value = np.abs(mel.data - target).mean() + (logarithms**2).mean()
    return Tensor(value, (mel,), lambda dl: (dl * mel_loss_backward(mel.data, target),))


def mel_loss(x, target, sample_rate, windows):
    """x (B,T,1), a Tensor; target (B,T,1), an array -> a Tensor of one number: the mel_distances, summed over windows.

    A window of n samples has max(1, int(n · 5 / 32 · min(1, 24000 / sample_rate))) filters, in the precision of x.
    """
    losses = []
    for n_fft in windows:
        bins = max(1, int(n_fft * 5 / 32 * min(1, 24_000 / sample_rate)))
        filters = mel_filterbank(sample_rate, n_fft, bins).astype(x.data.dtype)
        mel, aim = (mel_spectrogram(one, n_fft, filters) for one in (x, Tensor(target)))
        losses.append(mel_distance(mel, aim.data))
    return sum(losses[1:], losses[0])
