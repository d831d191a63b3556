"""Chapter 10, for my_codec: losses of Tensors."""

import numpy as np

from minicodec.course.calling import both_ways, variable
from minicodec.course.catalogue import of_part


def _compared(part, x, target):
    given = variable(x)
    return both_ways(part(given, target), [given])


def _waves(rng, fresh):
    for shape in [(2, 5, 1), (1, 4 + int(fresh), 1), (3, 2)]:
        yield rng.normal(size=shape), rng.normal(size=shape)
    x = rng.normal(size=(2, 3, 1))
    yield x, np.where(x > 0, x, 0.0)  # equal here and there


def _transformed(part, x, n_fft, dy):
    given = variable(x)
    return both_ways(part(given, n_fft), [given], dy)


def _long_waves(rng, fresh):
    for n_fft, T in [(16, 40), (8, 19 + int(fresh))]:
        To = 1 + (T - n_fft) // (n_fft // 4)
        yield rng.normal(size=(2, T, 1)), n_fft, rng.normal(size=(2, To, n_fft // 2 + 1, 2))


def _mels(part, x, n_fft, filters, dy):
    given = variable(x)
    return both_ways(part(given, n_fft, filters), [given], dy)


def _mel_waves(rng, fresh):
    for n_fft, T, M in [(16, 40, 3), (8, 17 + int(fresh), 2)]:
        hop = n_fft // 4
        To = 1 + (T + 2 * ((n_fft - hop) // 2) - n_fft) // hop
        yield rng.normal(size=(2, T, 1)), n_fft, rng.uniform(size=(n_fft // 2 + 1, M)), rng.normal(size=(2, To, M))


def _spectrograms(rng, fresh):
    for shape in [(2, 3, 4), (1, 5 + int(fresh), 2)]:
        yield rng.uniform(0, 1, shape), rng.uniform(0, 1, shape)
    yield np.zeros((1, 2, 3)), rng.uniform(0, 1e-4, (1, 2, 3))


def _scales(part, x, target, sample_rate, windows):
    given = variable(x)
    return both_ways(part(given, target, sample_rate, windows), [given])


def _sounds(rng, fresh):
    for windows, rate in [((32, 64), 24_000), ((64,), 8_000), ((128, 64, 32), 48_000)]:
        yield 0.1 * rng.normal(size=(2, 200 + int(fresh), 1)), 0.1 * rng.normal(size=(2, 200 + int(fresh), 1)), rate, windows


EXERCISES = [
    of_part(
        "l1_loss", 10, _waves, _compared, returned=("loss", "dx"),
        slips=[
            ("np.abs(difference).mean()", "np.abs(difference).sum()", "the loss is a mean, not a sum"),
            ("np.abs(difference).mean()", "(difference**2).mean()", "the loss is of magnitudes, not of squares"),
            ("np.sign(difference) / difference.size", "np.sign(difference)", "of a mean, each entry gets its share: / size"),
            ("dl * np.sign(difference) / difference.size", "-dl * np.sign(difference) / difference.size", "the sign of dx is wrong"),
            ("np.sign(difference) /", "np.where(difference > 0, 1, -1) /", "where both are equal, the slope is 0"),
        ],
        hint="np.sign is 0 at 0.",
    ),
    of_part(
        "stft", 10, _long_waves, _transformed, returned=("y", "dx"), rtol=1e-5,
        slips=[
            ('"normalized": True', '"normalized": False', "the window is not divided: normalized=True"),
            ("n_fft // 4", "n_fft // 2", "the hop is a quarter of the window"),
            ("[..., None],", "[..., None] * 2,", "dx is twice as large as it should be"),
            ("x.data.shape[1], hann(n_fft)", "x.data.shape[1], np.ones(n_fft)", "`saved` holds the window, hann(n_fft)"),
            ("x.data[..., 0]", "x.data[:, ::-1, 0]", "the sound runs backwards"),
        ],
        hint="stft_forward and stft_backward take and give (B,T): [..., 0] on the way in, [..., None] on the way back.",
    ),
    of_part(
        "mel_spectrogram", 10, _mel_waves, _mels, points=2, returned=("mel", "dx"), rtol=1e-5,
        slips=[
            ("((0, 0), (side, side))", "((0, 0), (2 * side, 0))", "zeros stand on both sides, as many on each"),
            ("dpadded[:, side : side + T, None]", "dpadded[:, :T, None]", "dx is what remains when both sides are cut off"),
            ("return Tensor(np.abs(Y) @ filters", "return Tensor(np.abs(Y)**2 @ filters", "the magnitudes are not squared"),
            ("dmel @ filters.T", "dmel @ (filters.T / filters.sum())", "dmel goes back through filters.T as it is"),
            ("parts[..., 0] + 1j * parts[..., 1]", "parts[..., 0] + 0j", "the imaginary parts belong to the magnitude, too"),
        ],
        hint="Y = real + 1j·imaginary; saved = (length with padding, hann(n_fft), Y, |Y|).",
    ),
    of_part(
        "mel_distance", 10, _spectrograms, _compared, returned=("loss", "dmel"),
        slips=[
            ("np.abs(mel.data - target).mean() + (logarithms**2).mean()", "np.abs(mel.data - target).mean()",
             "the logarithms' part is missing"),
            ("np.abs(mel.data - target).mean() + (logarithms**2).mean()", "(logarithms**2).mean()",
             "the magnitudes' part is missing"),
            ("(logarithms**2).mean()", "np.abs(logarithms).mean()", "the differences of the logarithms are squared"),
            ("np.log10(mel.data + 1e-5) - np.log10(target + 1e-5)", "np.log(mel.data + 1e-5) - np.log(target + 1e-5)",
             "the logarithms are decimal"),
            ("dl * mel_loss_backward(mel.data, target)", "dl * mel_loss_backward(target, mel.data)",
             "mel_loss_backward takes mel first, then the target"),
        ],
        hint="the value by its formula; mel_loss_backward has the gradient.",
    ),
    of_part(
        "mel_loss", 10, _sounds, _scales, points=2, returned=("loss", "dx"), rtol=1e-5,
        slips=[
            ("return sum(losses[1:], losses[0])", "return losses[-1]", "only the last window counts; all are added up"),
            ("return sum(losses[1:], losses[0])", "return sum(losses[1:], losses[0]) * (1 / len(losses))",
             "the losses are added up, not averaged"),
            ("for one in (x, Tensor(target))", "for one in (Tensor(target), x)", "the target is compared with x as its target: exchanged"),
            (" * min(1, 24_000 / sample_rate)", "", "above 24 kHz, fewer filters are filled: · 24000 / sample_rate"),
            ("n_fft * 5 / 32", "n_fft * 5 / 64", "a window of 32 samples has 5 filters"),
        ],
        hint="for each window: mel_filterbank, a mel_spectrogram of both, their mel_distance. sum(list[1:], list[0]) adds Tensors.",
    ),
    of_part(
        "hann", 10, lambda rng, fresh: iter([(8,), (64,), (7,)]), lambda part, n_fft: part(n_fft), returned=("window",), rtol=1e-5,
        slips=[
            (" / np.sqrt((window**2).sum())", "", "the window is not divided by the root of the sum of its squares"),
            ("/ np.sqrt((window**2).sum())", "/ (window**2).sum()", "the root is missing"),
            ("/ np.sqrt((window**2).sum())", "/ window.sum()", "it is divided by the root of the sum of the SQUARES"),
            ("2 * np.pi / n_fft", "2 * np.pi / (n_fft - 1)", "that is the symmetric window; the periodic one divides by n_fft"),
            ("0.5 - 0.5 * np.cos", "0.54 - 0.46 * np.cos", "that is Hamming's window; Hann's begins at 0"),
        ],
        hint="0.5 - 0.5·cos(2π n / n_fft), n = 0 … n_fft - 1.",
    ),
]  # fmt: skip
