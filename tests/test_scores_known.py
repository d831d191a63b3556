"""Every metric where the answer is known: each figure with the reason why it is that one.

Three seconds of a synthetic German voice at 24 kHz. Where a figure follows from a formula, the test computes it in
another way; others were measured once, and the reason says why they lie where they do.
"""

import numpy as np
import pytest

from minicodec import audio
from minicodec.evaluation.scores import METRICS, align, installed, measure

inf, nan = np.inf, np.nan
RATE = 24_000
PERFECT = {
    "si_sdr": (inf, "there is no error"),
    "mel_distance": (0, "the spectra are the same"),
    "stft_distance": (0, "the spectra are the same"),
    "log_spectral_distance": (0, "the spectra are the same"),
    "stoi": (1, "it is a mean of correlations"),
    "pesq": (4.644, "where its curve ends, since listeners do not all give the highest score"),
    "visqol": (4.732, "the same"),
}


def voice():
    wav, _ = audio.read("data/speech_de_1.flac", start=12_000, frames=3 * RATE)
    return wav - wav.mean(dtype=np.float64).astype(np.float32)


def check(reference, estimate, case):
    """case {name: (value, reason)}."""
    values = measure(reference, estimate, RATE)
    assert case.keys() == METRICS.keys()
    assert list(values) == installed()
    for name in values:
        expected, reason = case[name]
        message = f"{name} is {values[name]:.4f}, not {expected:.4f}: {reason}"
        assert values[name] == pytest.approx(expected, abs=0.005, nan_ok=True), message


def test_identical_signals():
    """Nothing differs: the end of every scale."""
    wav = voice()
    check(wav, wav, PERFECT)


def test_white_noise_at_20_db():
    wav = voice()
    rng = np.random.default_rng(0)
    n = rng.normal(size=wav.shape)
    n -= n.mean()
    n -= (n * wav).sum() / (wav**2).sum() * wav  # orthogonal to the voice, so that the ratio is exact
    n *= np.sqrt((wav**2).sum() / (n**2).sum() / 100)
    case = {
        "si_sdr": (20, "a hundredth of the power of the voice was added"),
        "mel_distance": (8.510, "in decibels pauses count like vowels, and there noise is far above what was there"),
        "stft_distance": (1.808, "nearly all of it from the logarithms: of loud bins a tenth has changed"),
        "log_spectral_distance": (20.073, "the bins between the partials and in the pauses rise by tens of dB"),
        "stoi": (0.984, "every word can be understood"),
        "pesq": (1.713, "and yet the hiss is bad"),
        "visqol": (2.945, "and patterns of soft bands are drowned in it"),
    }
    check(wav, (wav + n).astype(np.float32), case)


def test_a_delay_of_10_ms():
    """240 samples. Aligned, the signals are identical; before that, it depends on who looks."""
    wav = voice()
    later = np.roll(wav, 240)
    power = np.abs(np.fft.rfft(wav[0].astype(np.float64))) ** 2
    power[1:-1] *= 2
    correlation = (power * np.cos(2 * np.pi * 240 * np.arange(len(power)) / wav.size)).sum() / power.sum()
    in_common = 10 * np.log10(correlation**2 / (1 - correlation**2))
    case = {
        "si_sdr": (in_common, "its autocorrelation: what the voice has in common with itself 10 ms ago"),
        "mel_distance": (5.147, "short windows are shorter than the delay, and see onsets where there were none"),
        "stft_distance": (0.948, "as above; of magnitudes alone, for phase does not count"),
        "log_spectral_distance": (4.935, "a window of 85 ms sees most of the same sound 10 ms later"),
        "stoi": (0.880, "its frames of 26 ms are compared without alignment"),
        "pesq": (4.177, "aligns; the rest is that frames of 16 ms are cut at other places"),
        "visqol": (4.731, "aligns"),
    }
    check(wav, later, case)
    reference, estimate, delay = align(wav, later, RATE)
    assert delay == 240
    np.testing.assert_array_equal(reference, estimate)
    check(reference, estimate, PERFECT)


def test_a_flipped_polarity():
    """Nobody hears it, and no metric sees it: SI-SDR allows the projection any factor, also -1."""
    wav = voice()
    check(wav, -wav, PERFECT)
    assert align(wav, -wav, RATE)[2] == 0


def test_a_low_pass_at_3500_hz():
    wav = voice()
    Y = np.fft.rfft(wav[0].astype(np.float64))
    passes = np.fft.rfftfreq(wav.size, 1 / RATE) < 3500
    low = np.fft.irfft(Y * passes, wav.size)[None].astype(np.float32)
    passed, stopped = ((np.abs(Y[bins]) ** 2).sum() for bins in (passes, ~passes))
    case = {
        "si_sdr": (10 * np.log10(passed / stopped), "the power that passes by the power that does not"),
        "mel_distance": (18.402, "four in ten mel bands lie above 3.5 kHz, and fall to the floor"),
        "stft_distance": (3.656, "seven tenths of the bins fall to the floor"),
        "log_spectral_distance": (39.141, "as above; noise at 20 dB only filled gaps"),
        "stoi": (0.981, "speech can be understood through a telephone"),
        "pesq": (3.117, "made for telephones, it forgives"),
        "visqol": (2.580, "a third of its bands is empty"),
    }
    check(wav, low, case)


def test_a_silent_estimate():
    wav = voice()
    case = {
        "si_sdr": (-inf, "it holds nothing of the reference"),
        "mel_distance": (65.34, "how far the voice lies above the floor of -100 dB"),
        "stft_distance": (6.42, "1, since all of the magnitude is missing, and ln of how far it lies above the floor"),
        "log_spectral_distance": (51.14, "as for mel, but bins between partials lie lower"),
        "stoi": (0, "nothing can be understood"),
        "pesq": (nan, "brings both to the same level, which silence does not have"),
        "visqol": (1, "the worst score"),
    }
    check(wav, 0 * wav, case)


def test_a_silent_reference():
    """What must only not be heard has no quality: no ratio, no share, no score. A distance there is."""
    wav = voice()
    values = measure(0 * wav, wav, RATE)
    undefined = {"si_sdr", "stft_distance", "stoi", "pesq", "visqol"}
    assert {name for name, value in values.items() if np.isnan(value)} == undefined & values.keys()
    assert values["mel_distance"] == pytest.approx(65.34, abs=0.005)  # the same as the other way round
    assert values["log_spectral_distance"] == pytest.approx(51.14, abs=0.005)


def test_mono_against_stereo():
    """Left and right are two voices, orthogonal and equally loud; the estimate is their mean, from both sides."""
    left = voice()
    right, _ = audio.read("data/speech_fr_1.flac", start=12_000, frames=3 * RATE)
    right = right - right.mean()
    right = right - (left * right).sum() / (left**2).sum() * left
    right *= np.sqrt((left**2).sum() / (right**2).sum())
    stereo = np.concatenate([left, right])
    case = PERFECT | {
        "si_sdr": (0, "each channel is half right and half the other one, of the same power"),
        "mel_distance": (10.81, "where only one voice sounds, its channel loses 6 dB and the other one gains it all"),
        "stft_distance": (1.794, "as above"),
        "log_spectral_distance": (11.59, "as above"),
    }  # the others are perfect: STOI, PESQ and ViSQOL hear the mean of the channels, in which nothing is missing
    mean = stereo.mean(axis=0)
    check(stereo, mean, case)
    check(stereo, np.stack([mean, mean]), case)
