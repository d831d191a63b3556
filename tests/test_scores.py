"""Of the evaluation's metrics all but their values: alignment, channels, what is not defined, use of codebooks."""

import numpy as np
import pytest

from minicodec.errors import InputError
from minicodec.evaluation import scores
from minicodec.evaluation.scores import METRICS, align, codebook_usage, installed, measure

RATE = 16_000


@pytest.mark.parametrize("delay", [-1600, -7, 0, 1, 1599])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_delay_is_found_and_removed(delay, channels, rng):
    """Up to 0.1 s, flipped, with another level and as much noise as signal."""
    x = rng.normal(size=(channels, 20_000)).astype(np.float32)
    s, e = x[:, 2000:14_000], -0.3 * x[:, 2000 - delay : 16_000 - delay]
    reference, estimate, found = align(s, e + 0.3 * rng.normal(size=e.shape), RATE)
    assert found == delay
    assert reference.shape == estimate.shape == (channels, 12_000 - max(0, -delay))
    np.testing.assert_array_equal(reference, s[:, max(0, -delay) :])
    _, clean, _ = align(s, e, RATE)
    np.testing.assert_array_equal(clean, np.float32(-0.3) * reference)


def test_no_delay_is_made_up(rng):
    """Beyond the longest; of something else; of silence; and an offset is no likeness."""
    x, y = rng.normal(size=(2, 12_000))
    for estimate in (np.roll(x, 1700), y, 0 * x, 3 + 0 * x, y + 9):
        reference, same, delay = align(x + 9, estimate, RATE)
        assert delay == 0
        np.testing.assert_array_equal(reference, x + 9)
        np.testing.assert_array_equal(same, estimate)
    assert align(x, np.roll(x, 1700), RATE, longest=0.2)[2] == 1700


def test_the_longer_one_is_cut(rng):
    x = rng.normal(size=5000)
    reference, estimate, delay = align(x, x[:4000], RATE)
    assert (reference.shape, estimate.shape, delay) == ((4000,), (4000,), 0)


def test_names_and_their_order(rng):
    x = rng.normal(size=(1, 8000)).astype(np.float32)
    assert list(measure(x, x, RATE, ["stft_distance", "si_sdr"])) == ["stft_distance", "si_sdr"]
    assert list(measure(x, x, RATE)) == installed()


def test_what_cannot_be_measured(rng, monkeypatch):
    x = rng.normal(size=(1, 8000)).astype(np.float32)
    with pytest.raises(ValueError, match=r"^mos: not a metric; there are si_sdr, mel_distance, "):
        measure(x, x, RATE, ["mos"])
    with pytest.raises(ValueError, match="align them first"):
        measure(x, x[:, 1:], RATE, ["si_sdr"])
    with pytest.raises(ValueError, match="a reference of 3 channels, an estimate of 2"):
        measure(np.repeat(x, 3, axis=0), np.repeat(x, 2, axis=0), RATE, ["si_sdr"])
    monkeypatch.setattr(scores, "find_spec", lambda package: None)
    assert installed() == [name for name in METRICS if name not in ("stoi", "pesq")]
    with pytest.raises(InputError, match=r'^stoi: needs the package pystoi: pip install "minicodec\[metrics\]"$'):
        measure(x, x, RATE, ["stoi"])


def test_too_short_for(rng):
    """Noise of 2047 samples, then of 0.2 s, 0.3 s, 0.6 s and 1.2 s: one measure after the other becomes possible."""
    x = 0.1 * rng.normal(size=(1, 24_000)).astype(np.float32)
    defined = [
        {name for name, value in measure(x[:, :T], x[:, :T], 20_000).items() if not np.isnan(value)}
        for T in (2047, 4000, 6000, 12_000, 24_000)
    ]
    assert defined[0] == {"si_sdr"}
    assert defined[1] - defined[0] == {"mel_distance", "stft_distance", "log_spectral_distance"}
    assert defined[2] - defined[1] == ({"pesq"} & set(installed()))
    assert defined[3] - defined[2] == ({"stoi"} & set(installed()))
    assert defined[4] - defined[3] == {"visqol"}


def test_too_little_sound_for_stoi():
    """Enough samples, but most of them silent: pystoi would warn, and return 1e-5."""
    pytest.importorskip("pystoi")
    x = np.zeros((1, 2 * RATE), np.float32)
    x[0, :2000] = np.sin(np.arange(2000))
    assert np.isnan(measure(x, x, RATE, ["stoi"])["stoi"])


def test_use_of_codebooks():
    """The first codebook uses 4 of 8 entries equally, the second one only; frames in any arrangement."""
    codes = np.array([[0, 1, 2, 3, 0, 1, 2, 3], [5, 5, 5, 5, 5, 5, 5, 5]], np.int16)
    for arranged in (codes, codes.reshape(2, 2, 4)):
        usage, perplexity, efficiency = codebook_usage(arranged, 8)
        np.testing.assert_allclose(usage, [4 / 8, 1 / 8])
        np.testing.assert_allclose(perplexity, [4, 1])
        np.testing.assert_allclose(efficiency, [2 / 3, 0], atol=1e-12)
