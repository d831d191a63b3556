"""The parts of ViSQOL against peers and by hand; its scores against another implementation: tests/parity."""

from itertools import combinations

import numpy as np
import pytest
from scipy import signal

from minicodec import audio
from minicodec.backend import use
from minicodec.evaluation import visqol
from minicodec.evaluation.visqol import MODES, mos_lqo, similarity
from minicodec.evaluation.visqol.gammatone import audible, biquads, centre_frequencies, energies, spectrogram
from minicodec.evaluation.visqol.matching import LOST, evenly_spaced, match, windows, with_voice
from minicodec.evaluation.visqol.nsim import C1, CENTRE, CORNER, EDGE, compare, with_statistics
from minicodec.evaluation.visqol.realignment import align, delay, piece
from minicodec.kernels.cpu.gammatone import energies as energies_compiled


@pytest.fixture(scope="module")
def speech():
    wav, sample_rate = audio.read("data/speech_de_1.flac", start=12_000, frames=48_000)
    return wav, sample_rate


@pytest.mark.parametrize(("bands", "rate"), [(32, 48_000), (21, 16_000)])
def test_centres_lie_at_equal_distances_in_bandwidths(bands, rate):
    """From 50 Hz, on the scale on which the ear's bandwidth is the unit; one more step would reach half the rate."""
    number = np.log(1 + np.append(centre_frequencies(bands, rate / 2), rate / 2) / 9.26449 / 24.7)
    np.testing.assert_allclose(np.diff(number), (number[-1] - number[0]) / bands, rtol=1e-9)
    assert centre_frequencies(bands, rate / 2)[0] == pytest.approx(50)


@pytest.mark.parametrize("centre", [2000.0, 5000.0, 10_000.0, 20_000.0])
def test_the_filter_is_the_gammatone_of_scipy(centre):
    """Both follow Slaney; scipy multiplies the biquads out, which it cannot do exactly for low centres."""
    b1, (a1, a2), g = biquads(np.array([centre]), 48_000)
    sos = [[1, b[0], 0, 1, a1[0], a2[0]] for b in b1]
    frequencies = np.array([centre * 0.5, centre * 0.9, centre, centre * 1.1, min(centre * 2, 23_900)])
    _, ours = signal.sosfreqz(sos, frequencies, fs=48_000)
    _, theirs = signal.freqz(*signal.gammatone(centre, "iir", fs=48_000), frequencies, fs=48_000)
    np.testing.assert_allclose(g * np.abs(ours), np.abs(theirs), rtol=1e-4)


def test_energies_are_those_of_sosfilt(rng):
    """From rest in every frame, and cut at its end."""
    frames = rng.normal(size=(3, 400))
    b1, a, _ = biquads(np.array([50.0, 700.0, 5000.0]), 16_000)
    for f in range(3):
        y = signal.sosfilt([[1, b[f], 0, 1, *a[:, f]] for b in b1], frames)
        np.testing.assert_allclose(energies(frames, b1, a)[:, f], (y**2).sum(axis=1), rtol=1e-9)
    with use("numpy"):
        np.testing.assert_allclose(energies(frames, b1, a), energies_compiled(frames, b1, a), rtol=1e-9)


def test_a_tone_is_loudest_in_its_band():
    """Its root mean square there: 1/√2 of the amplitude, and √(3/8) of a Hann window; 20 ms from frame to frame."""
    centres = centre_frequencies(32, 24_000)
    tone = np.sin(2 * np.pi * centres[20] * np.arange(24_000) / 48_000)
    S = spectrogram(tone, 48_000, 32)
    assert S.shape == (1 + (24_000 - 3840) // 960, 32)
    assert (S.argmax(axis=1) == 20).all()
    np.testing.assert_allclose(S[:, 20], np.sqrt(3 / 16), rtol=1e-3)


def test_what_cannot_be_heard_is_raised_to_what_can():
    """Decibels of amplitude. Frame 0: the loudest is 0 dB in the second, so -45. Frame 1: all but silence."""
    S = np.array([[1e-1, 1e-8], [0, 1e-9]])
    D = np.array([[1, 1e-3], [1e-4, 1e-9], [1e-2, 1]])
    s, d = audible(S, D)
    np.testing.assert_allclose(s - 45, [[-10, -45], [-45, -45]])
    np.testing.assert_allclose(d - 45, [[0, -30], [-40, -45], [-20, 0]])
    s, d = audible(np.array([[1.0]]), np.array([[0.1]]))  # 0 is the lowest of both
    np.testing.assert_allclose([s, d], [[[10]], [[0]]])


def test_similarity_is_the_formula(rng):
    """Local statistics by convolution with the window, one patch after the other."""
    window = [[CORNER, EDGE, CORNER], [EDGE, CENTRE, EDGE], [CORNER, EDGE, CORNER]]
    R, D = 40 * rng.random((2, 5, 8, 6)), 40 * rng.random((5, 8, 6))
    for i in range(2):
        for j in range(5):
            r, d = (np.pad(x, 1, mode="edge") for x in (R[i, j], D[j]))
            mean = [signal.convolve2d(x, window, "valid") for x in (r, d, r * r, d * d, r * d)]
            σ = np.sqrt((mean[2] - mean[0] ** 2) * (mean[3] - mean[1] ** 2))
            intensity = (2 * mean[0] * mean[1] + 0.0001) / (mean[0] ** 2 + mean[1] ** 2 + 0.0001)
            expected = intensity * (mean[4] - mean[0] * mean[1] + 0.00045) / (σ + 0.00045)
            np.testing.assert_allclose(compare(with_statistics(R), with_statistics(D))[i, j], expected, atol=1e-9)


def test_similarity_of_plain_patches():
    """Equal ones: 1. Without any structure, only the intensities differ: 2·10·20 / (10² + 20²)."""
    a, b = (with_statistics(np.full((4, 3), level)) for level in (10.0, 20.0))
    np.testing.assert_allclose(compare(a, a), 1, atol=1e-9)
    np.testing.assert_allclose(compare(a, b), (400 + C1) / (500 + C1), atol=1e-9)


def test_patches_are_laid_side_by_side():
    """From half a patch on; the last ends before the last frame. Without room for one and a half there is none."""
    nothing = np.zeros(0)
    assert evenly_spaced(200, 30, nothing, 48_000).tolist() == [14, 44, 74, 104, 134, 164]
    assert evenly_spaced(45, 30, nothing, 48_000).tolist() == [14]
    assert evenly_spaced(44, 30, nothing, 48_000).tolist() == []
    assert evenly_spaced(75, 30, nothing, 48_000).tolist() == [14]
    assert evenly_spaced(76, 30, nothing, 48_000).tolist() == [14, 44]


def test_patches_without_voice_are_left_out():
    """Frames of 20 ms, 20 to a patch. Sound in patch 2 only; the beginning counts as voice in any case."""
    x = np.zeros(16_000 * 3)
    x[9 + 320 * 45 : 9 + 320 * 50] = 1
    frames = 1 + (len(x) - 1280) // 320
    assert with_voice(frames, 20, x, 16_000).tolist() == [9, 49]
    x[9 + 320 * 50 : 9 + 320 * 59] = 1  # to the last but one frame of patch 2: speech goes on for two, into patch 3
    assert with_voice(frames, 20, x, 16_000).tolist() == [9, 49, 69]
    x[9 + 320 * 45 : 9 + 320 * 60] *= 0.1  # a tenth of the peak, which is a click: below 5000/32768
    x[-1] = 1
    assert with_voice(frames, 20, x, 16_000).tolist() == [9]


def test_the_path_is_the_best_of_all(rng):
    """All ways to place three patches in order, or to leave out the second, the third or both, by brute force."""
    lost = 0
    for _ in range(20):
        T, W, starts = 9, 3, np.array([0, 3, 6])
        D = 10 * rng.random((T, 4))
        chosen = with_statistics(10 * rng.random((3, W, 4)))
        score = np.stack(
            [
                compare(chosen.at(p), with_statistics(windows(D, W))).mean(axis=(1, 2))
                for p in range(3)
            ]
        )
        paths = [
            (sum(score[p, t] for p, t in zip(kept, places, strict=True)), kept, places)
            for kept in ((0,), (0, 1), (0, 2), (0, 1, 2))
            for places in combinations(range(T), len(kept))
        ]
        _, kept, places = max(paths)
        expected = np.full(3, LOST)
        expected[list(kept)] = places
        np.testing.assert_array_equal(match(chosen, starts, D), expected)
        lost += 3 - len(kept)
    assert lost > 0


def test_patches_are_found_behind_an_insertion(rng):
    """Seven frames more in the middle: what comes after them is found seven frames later."""
    S = 30 * rng.random((60, 8))
    D = np.concatenate([S[:25], 30 * rng.random((7, 8)), S[25:]])
    starts = np.array([5, 15, 30, 45])
    assert match(with_statistics(windows(S, 10)[starts]), starts, D).tolist() == [5, 15, 37, 52]


@pytest.mark.parametrize("late", [-300, -1, 0, 1, 250])
def test_a_delay_is_found_and_taken_away(late, rng):
    burst = np.zeros(4000)
    burst[1500:1900] = rng.normal(size=400) * np.hanning(400)
    later = np.roll(burst, late)
    assert delay(burst, later) == -late
    aligned = align(burst, -later)
    np.testing.assert_array_equal(aligned[:3500], -burst[:3500])


def test_a_piece_of_a_signal():
    """30 hops; where that is 0.6 s times the rate less a rounding error, a sample less; beyond the end, silence."""
    x = np.arange(1.0, 48_001)
    np.testing.assert_array_equal(piece(x, 0, 30, 48_000), x[:28_800])
    long = np.arange(1.0, 480_001)
    np.testing.assert_array_equal(piece(long, 284, 30, 48_000), long[284 * 960 : 314 * 960 - 1])
    np.testing.assert_array_equal(piece(x, 40, 30, 48_000), np.append(np.zeros(19_200), x[38_400:-1]))


@pytest.mark.parametrize(("mode", "best"), [("audio", 4.732), ("speech", 5.0)])
def test_what_costs_nothing(speech, mode, best):
    wav, rate = speech
    assert mos_lqo(wav, wav, rate, mode) == pytest.approx(best, abs=1e-3)
    changed = -0.1 * np.pad(wav[0], (700, 0))
    assert mos_lqo(wav, changed, rate, mode) == pytest.approx(best, abs=1e-3)
    assert mos_lqo(np.repeat(wav, 2, axis=0), np.stack([0 * wav[0], 2 * wav[0]]), rate, mode) == pytest.approx(
        best, abs=1e-3
    )


@pytest.mark.parametrize("mode", MODES)
def test_silence_and_scraps(speech, mode):
    """Nothing to judge: NaN. A silent estimate: the worst score, although the reference pauses, too."""
    wav, rate = speech
    assert np.isnan(mos_lqo(0 * wav, wav, rate, mode))
    pausing, _ = audio.read("data/speech_en_2.flac", start=12_000, frames=72_000)
    assert mos_lqo(pausing, 0 * pausing, rate, mode) == 1
    for length in (0, 1000, 1921, 14_000 if mode == "speech" else 23_000):
        assert np.isnan(mos_lqo(wav[:, :length], wav[:, :length], rate, mode))
    assert np.isnan(mos_lqo(wav, wav[:, :1000], rate, mode))


def test_a_lost_patch_counts_nothing(rng, monkeypatch):
    """Of equal signals with three patches, one is said to be lost."""
    x = rng.normal(size=2 * 48_000 + 24_000)
    assert similarity(x, x, MODES["audio"]) == pytest.approx(np.ones(32), abs=1e-9)
    monkeypatch.setattr(visqol, "match", lambda chosen, starts, degraded: np.where(starts == 44, LOST, starts))
    assert similarity(x, x, MODES["audio"]) == pytest.approx(np.full(32, 2 / 3), abs=1e-9)


def test_another_mode():
    with pytest.raises(ValueError, match=r"^music: not a mode of ViSQOL; there are audio, speech$"):
        mos_lqo(np.zeros(9), np.zeros(9), 48_000, "music")
