"""Chapter 10: the short-time Fourier transform, its way back, mel filters, and a loss made of them."""

import numpy as np

from minicodec.course.cases import Case
from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.metrics import MEL_FLOOR, mel_filterbank
from minicodec.ops import stft as library


def zeros(rng, shape):
    """Silence: all magnitudes are 0."""
    return np.zeros(shape)


def silent_in_between(rng, shape):
    """Sound, silence, sound: some frames are 0 throughout."""
    x = rng.normal(size=shape)
    x[:, 10:30] = 0
    return x


def _transformed(frames, window):
    Y = np.fft.rfft(frames * window)
    return np.stack([Y.real, Y.imag], axis=-1)


def _frames(x, n_fft, hop):
    return np.lib.stride_tricks.sliding_window_view(x, n_fft, axis=1)[:, ::hop]


def _no_window(x, *, n_fft, hop, normalized=False):
    return _transformed(_frames(x, n_fft, hop), 1 / np.sqrt(n_fft) if normalized else 1.0)


def _symmetric_window(x, *, n_fft, hop, normalized=False):
    window = np.hanning(n_fft)
    return _transformed(_frames(x, n_fft, hop), window / np.sqrt((window**2).sum()) if normalized else window)


def _turned_the_other_way(x, *, n_fft, hop, normalized=False):
    return library.stft_forward(x, n_fft=n_fft, hop=hop, normalized=normalized)[0] * [1, -1]


def _divided_by_sum(x, *, n_fft, hop, normalized=False):
    y = library.stft_forward(x, n_fft=n_fft, hop=hop)[0]
    return y / (n_fft / 2) if normalized else y


def _overlap(dframes, T, hop, add):
    """dframes (B,To,n_fft) -> dx (B,T): added where they overlap, or overwritten."""
    dx = np.zeros((len(dframes), T))
    for t in range(dframes.shape[1]):
        place = dx[:, t * hop : t * hop + dframes.shape[2]]
        place[...] = (place if add else 0) + dframes[:, t]
    return dx


def _sent_back(dy, n_fft):
    """dy (B,To,F,2) -> gradients of the windowed frames (B,To,n_fft), by the formula."""
    theta = 2 * np.pi / n_fft * np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft))
    return dy[..., 0] @ np.cos(theta) - dy[..., 1] @ np.sin(theta)


def _assigned(dy, saved, *, n_fft, hop, normalized=False):
    T, window = saved
    return _overlap(_sent_back(dy, n_fft) * window, T, hop, add=False)


def _window_forgotten(dy, saved, *, n_fft, hop, normalized=False):
    return _overlap(_sent_back(dy, n_fft), saved[0], hop, add=True)


def _imaginary_sign(dy, saved, *, n_fft, hop, normalized=False):
    T, window = saved
    return _overlap(_sent_back(dy * [1, -1], n_fft) * window, T, hop, add=True)


def _mirrored_bins_twice(dy, saved, *, n_fft, hop, normalized=False):
    T, window = saved
    return _overlap(np.fft.irfft(dy[..., 0] + 1j * dy[..., 1], n_fft) * n_fft * window, T, hop, add=True)


def _plain_inverse(dy, saved, *, n_fft, hop, normalized=False):
    return _mirrored_bins_twice(dy, saved, n_fft=n_fft, hop=hop) / n_fft


def _not_a_unit_vector(dy, saved, *, n_fft, hop, normalized=False):
    T, window, Y, _ = saved
    return library.spectrum_adjoint(dy * Y, T, n_fft, hop, window)


def _real_part_alone(dy, saved, *, n_fft, hop, normalized=False):
    T, window, Y, y = saved
    return library.spectrum_adjoint(dy * (Y.real / y) + 0j, T, n_fft, hop, window)


def _conjugate(dy, saved, *, n_fft, hop, normalized=False):
    T, window, Y, y = saved
    return library.spectrum_adjoint(dy * Y.conj() / y, T, n_fft, hop, window)


def _triangles(sample_rate, window, corners, floor=0.0):
    f = np.fft.rfftfreq(window, 1 / sample_rate)[:, None]
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    return np.maximum(floor, np.minimum((f - low) / (centre - low), (high - f) / (high - centre)))


def _mel_corners(sample_rate, bins):
    return 700 * (10 ** (np.linspace(0, np.log10(1 + sample_rate / 1400), bins + 2)) - 1)


def _equal_steps_in_hertz(sample_rate, window, bins):
    return _triangles(sample_rate, window, np.linspace(0, sample_rate / 2, bins + 2))


def _below_zero(sample_rate, window, bins):
    return _triangles(sample_rate, window, _mel_corners(sample_rate, bins), floor=-np.inf)


def _straight_in_mel(sample_rate, window, bins):
    step = np.log10(1 + sample_rate / 1400) / (bins + 1)
    place = np.log10(1 + np.fft.rfftfreq(window, 1 / sample_rate) / 700) / step
    return np.maximum(0, 1 - abs(place[:, None] - np.arange(1, bins + 1)))


def _equal_areas(sample_rate, window, bins):
    filters = mel_filterbank(sample_rate, window, bins)
    return filters / filters.sum(axis=0)


def _rate_for_its_half(sample_rate, window, bins):
    return _triangles(sample_rate, window, _mel_corners(2 * sample_rate, bins))


def _banks(rng, fresh):
    more = int(rng.integers(1, 4)) if fresh else 0
    for sample_rate, window, bins in [(24_000, 32, 5), (24_000, 512, 40), (16_000, 256, 20), (48_000, 1023, 30)]:
        yield sample_rate, window, bins - more


def bark_filterbank(sample_rate: int, window: int, bins: int) -> np.ndarray:
    """sample_rate in Hz, window in samples, bins -> filters (F,bins), F = window//2 + 1: triangles on the Bark scale.

    bins + 2 corners stand at equal distances in Bark, z = 26.81 f/(1960 + f) - 0.53 with f in Hz, from 0 Hz to half
    the sample rate. Filter m rises from 0 at corner m to 1 at corner m + 1 and falls to 0 at corner m + 2, in straight
    lines over the frequencies k · sample_rate / window.
    """
    highest = 26.81 * (sample_rate / 2) / (1960 + sample_rate / 2)
    z = np.linspace(0, highest, bins + 2)  # 0.53 falls out: both ends have it
    return _triangles(sample_rate, window, 1960 * z / (26.81 - z))


def _bark_below_zero(sample_rate, window, bins):
    z = np.linspace(0, 26.81 * (sample_rate / 2) / (1960 + sample_rate / 2), bins + 2)
    return _triangles(sample_rate, window, 1960 * z / (26.81 - z), floor=-np.inf)


def mel_loss_backward(mel: np.ndarray, target: np.ndarray) -> np.ndarray:
    """mel (B,T,M), target (B,T,M) -> dmel (B,T,M): the gradient of mean |S - R| + mean (log10 (S+e) - log10 (R+e))².

    S is mel, R is target, e = 1e-5. Both means are over all entries.
    """
    difference = np.log10(mel + MEL_FLOOR) - np.log10(target + MEL_FLOOR)
    return (np.sign(mel - target) + 2 * difference / (np.log(10) * (mel + MEL_FLOOR))) / mel.size


def _natural_logarithm(mel, target):
    difference = np.log10(mel + MEL_FLOOR) - np.log10(target + MEL_FLOOR)
    return (np.sign(mel - target) + 2 * difference / (mel + MEL_FLOOR)) / mel.size


def _no_mean(mel, target):
    return mel_loss_backward(mel, target) * mel.size


def _inner_derivative_forgotten(mel, target):
    difference = np.log10(mel + MEL_FLOOR) - np.log10(target + MEL_FLOOR)
    return (np.sign(mel - target) + 2 * difference) / mel.size


def _no_floor(mel, target):
    return (np.sign(mel - target) + 2 * np.log10(mel / target) / (np.log(10) * mel)) / mel.size


def _spectrograms(rng, fresh):
    more = int(fresh)
    for shape in [(1, 5, 3 + more), (3, 4 + more, 7), (1, 1, 2)]:
        yield np.exp(rng.normal(size=shape)), np.exp(rng.normal(size=shape))
    yield np.zeros((2, 3, 2)), np.zeros((2, 3, 2))
    silent = np.full((2, 2, 3), 1e-9)  # all that counts here is the floor
    yield silent, np.exp(rng.normal(size=silent.shape))


EXERCISES = [
    of_op(
        "stft", "forward", chapter=10,
        mistakes=(
            Mistake(_no_window, "the frames are not multiplied by the Hann window"),
            Mistake(_symmetric_window, "that is the symmetric window of np.hanning; the periodic one divides by n_fft"),
            Mistake(_turned_the_other_way, "the imaginary part has the wrong sign: e^(-iθ), so Im Y = -Σ h x sin θ"),
            Mistake(_divided_by_sum, "`normalized` divides by sqrt(Σ h²), not by Σ h"),
        ),
        hint="frame t is x[:, t·hop : t·hop + n_fft]; np.fft.rfft(frame · window) has the sign of the definition.",
    ),
    of_op(
        "stft", "backward", chapter=10, points=2,
        mistakes=(
            Mistake(_assigned, "dx is assigned where it should be added to (+=): a sample is in several frames"),
            Mistake(_window_forgotten, "the window was a factor on the way out; it is one on the way back too"),
            Mistake(_imaginary_sign, "the gradient of Im Y has the wrong sign: Im Y = -Σ h x sin θ"),
            Mistake(_mirrored_bins_twice, "irfft counts each bin with a mirror image twice: halve those before it"),
            Mistake(_plain_inverse, "irfft is the inverse, not the adjoint: times n_fft, mirrored bins halved"),
        ),
        hint="a frame gets window · Σ_f (dRe cos θ - dIm sin θ); frame t lies at samples t·hop ... t·hop + n_fft - 1.",
    ),
    of_op(
        "stft_magnitude", "backward", chapter=10,
        more=(Case([(2, 40)], {"n_fft": 8, "hop": 4}, silent_in_between),
              Case([(1, 20)], {"n_fft": 8, "hop": 2}, zeros)),
        mistakes=(
            Mistake(_not_a_unit_vector, "Y is not divided by |Y|: that is the gradient of |Y|²/2"),
            Mistake(_real_part_alone, "the imaginary part got no gradient: |Y| grows with both parts"),
            Mistake(_conjugate, "the direction is Y/|Y|, not its conjugate"),
        ),
        hint="dRe = dy · Re Y/|Y| and dIm = dy · Im Y/|Y|; from there on it is stft_backward.",
    ),
    of_function(
        mel_filterbank, 10, _banks,
        mistakes=(
            Mistake(_equal_steps_in_hertz, "the corners stand at equal distances in Hz; they should in mel"),
            Mistake(_straight_in_mel, "the sides of the triangles are straight in mel; they should be in Hz"),
            Mistake(_below_zero, "beyond its corners a filter is 0, not negative"),
            Mistake(_equal_areas, "each filter has sum 1; it should reach 1 at its centre"),
            Mistake(_rate_for_its_half, "the last corner stands at the sample rate; it should at half of it"),
        ),
        hint="a triangle is max(0, min(rising line, falling line)); np.fft.rfftfreq gives the frequencies.",
    ),
    of_function(
        mel_loss_backward, 10, _spectrograms,
        mistakes=(
            Mistake(_natural_logarithm, "1/ln 10 is missing: the derivative of log10 S is 1/(S ln 10)"),
            Mistake(_no_mean, "the loss is a mean: each entry moves it by 1/size as much"),
            Mistake(_inner_derivative_forgotten, "the derivative of the logarithm, 1/((S + e) ln 10), is missing"),
            Mistake(_no_floor, "the floor e is left out: the logarithm is of S + e"),
        ),
        hint="the derivative of |u| is sign u, that of u² is 2u; then that of log10 (S + e), then the mean.",
    ),
    of_function(
        bark_filterbank, 10, _banks, variant_of="mel_filterbank",
        mistakes=(
            Mistake(_equal_steps_in_hertz, "the corners stand at equal distances in Hz; they should in Bark"),
            Mistake(_bark_below_zero, "beyond its corners a filter is 0, not negative"),
            Mistake(mel_filterbank, "those are mel filters: the corners stand at equal distances in Bark"),
        ),
        hint="solve z = 26.81 f/(1960 + f) - 0.53 for f; a triangle is max(0, min(rising line, falling line)).",
    ),
]  # fmt: skip
