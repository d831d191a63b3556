"""Chapter 10."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch10_losses import bark_filterbank, mel_loss_backward
from minicodec.metrics import MEL_FLOOR, mel_filterbank
from minicodec.ops import stft as library


def _windowed_twice(x, *, n_fft, hop, normalized=False):
    window = library.hann(n_fft, x, normalized)
    Y = library.spectrum(x, n_fft, hop, window * window)
    return np.stack([Y.real, Y.imag], axis=-1)


def _normalised_always(x, *, n_fft, hop, normalized=False):
    return library.stft_forward(x, n_fft=n_fft, hop=hop, normalized=True)


def _one_frame_less(x, *, n_fft, hop, normalized=False):
    return library.stft_forward(x, n_fft=n_fft, hop=hop, normalized=normalized)[0][:, :-1]


def _all_bins(x, *, n_fft, hop, normalized=False):
    y = library.stft_forward(x, n_fft=n_fft, hop=hop, normalized=normalized)[0]
    mirror = y[:, :, 1 : (n_fft + 1) // 2][:, :, ::-1] * [1, -1]
    return np.concatenate([y, mirror], axis=2)


def _of_dy(change):
    def run(dy, saved, *, n_fft, hop, normalized=False):
        return library.stft_backward(change(dy), saved, n_fft=n_fft, hop=hop, normalized=normalized)[0]

    return run


def _length_of_windows(dy, saved, *, n_fft, hop, normalized=False):
    dx = library.stft_backward(dy, saved, n_fft=n_fft, hop=hop, normalized=normalized)[0]
    return dx[:, : (dy.shape[1] - 1) * hop + n_fft]


def _unguarded(dy, saved, *, n_fft, hop, normalized=False):
    T, window, Y, y = saved
    return library.spectrum_adjoint(dy * Y / y, T, n_fft, hop, window)


def _magnitude_for_direction(dy, saved, *, n_fft, hop, normalized=False):
    T, window, _, y = saved
    return library.spectrum_adjoint(dy * y + 0j, T, n_fft, hop, window)


def _signs(dy, saved, *, n_fft, hop, normalized=False):
    T, window, Y, _ = saved
    return library.spectrum_adjoint(dy * (np.sign(Y.real) + 1j * np.sign(Y.imag)), T, n_fft, hop, window)


def _filters(sample_rate, window, corners):
    f = np.fft.rfftfreq(window, 1 / sample_rate)[:, None]
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    return np.maximum(0, np.minimum((f - low) / (centre - low), (high - f) / (high - centre)))


def _to_bins(sample_rate, window, bins):
    corners = 700 * (10 ** (np.linspace(0, np.log10(1 + sample_rate / 1400), bins + 2)) - 1)
    return _filters(sample_rate, window, np.rint(corners * window / sample_rate) * sample_rate / window)


def _one_corner_less(sample_rate, window, bins):
    corners = 700 * (10 ** (np.linspace(0, np.log10(1 + sample_rate / 1400), bins + 1)) - 1)
    return _filters(sample_rate, window, np.append(corners, 2 * corners[-1] - corners[-2]))


def _no_zero_at_zero(mel, target):
    difference = np.log10(mel + MEL_FLOOR) - np.log10(target + MEL_FLOOR)
    slope = np.where(mel >= target, 1, -1)
    return (slope + 2 * difference / (np.log(10) * (mel + MEL_FLOOR))) / mel.size


def _only_the_first_term(mel, target):
    return np.sign(mel - target) / mel.size


def _only_the_second_term(mel, target):
    return mel_loss_backward(mel, target) - _only_the_first_term(mel, target)


def _square_not_doubled(mel, target):
    return _only_the_first_term(mel, target) + _only_the_second_term(mel, target) / 2


def _bark(lowest, factor):
    def run(sample_rate, window, bins):
        half = factor * sample_rate / 2
        z = np.linspace(lowest, 26.81 * half / (1960 + half), bins + 2)
        return _filters(sample_rate, window, 1960 * z / (26.81 - z))

    return run


MISTAKES = {
    "stft_forward": (
        Mistake(_windowed_twice, "the frames are multiplied by the window twice"),
        Mistake(_normalised_always, "divided by sqrt(Σ h²) always; that is for normalized=True"),
        Mistake(_one_frame_less, "the last frame is missing: there are 1 + (T - n_fft)//hop"),
        Mistake(_all_bins, "the bins above n_fft//2 mirror those below: np.fft.rfft leaves them out"),
    ),
    "stft_backward": (
        Mistake(_of_dy(lambda dy: dy * [1, 0]), "the imaginary part's gradient is left out"),
        Mistake(_of_dy(lambda dy: dy[..., ::-1]), "real and imaginary part have changed places"),
        Mistake(_length_of_windows, "dx is as long as x, T: samples after the last frame get 0"),
    ),
    "stft_magnitude_backward": (
        Mistake(_unguarded, "0/0 in silence: where |Y| is 0, let the gradient be 0"),
        Mistake(_magnitude_for_direction, "dy is multiplied by |Y|; it should be by Y/|Y|, which has length 1"),
        Mistake(_signs, "each part got its sign; the direction is Y/|Y|, of both parts together"),
    ),
    "mel_filterbank": (
        Mistake(_to_bins, "the corners are rounded to bins; a triangle may begin between two of them"),
        Mistake(_one_corner_less, "bins + 2 corners: filter m needs corners m, m + 1 and m + 2"),
        Mistake(lambda *a: np.ascontiguousarray(mel_filterbank(*a).T), "(F,bins): a column for each filter"),
    ),
    "mel_loss_backward": (
        Mistake(_no_zero_at_zero, "where S = R, |S - R| is at its lowest, and its gradient is 0: np.sign"),
        Mistake(_only_the_first_term, "the second term, of the logarithms, is missing"),
        Mistake(_only_the_second_term, "the first term, |S - R|, is missing"),
        Mistake(_square_not_doubled, "the derivative of u² is 2u"),
    ),
    "bark_filterbank": (
        Mistake(_bark(0, 2), "the last corner stands at the sample rate; it should at half of it"),
        Mistake(_bark(-0.53, 1), "z = -0.53 at 0 Hz, and at half the rate it is less by 0.53, too"),
        Mistake(
            lambda *a: bark_filterbank(*a) / bark_filterbank(*a).sum(axis=0), "each filter reaches 1 at its centre"
        ),
    ),
}
