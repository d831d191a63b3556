"""Augmentation: the mixes, levels and rooms that are promised, the same for the same step."""

import numpy as np
import pytest
import soundfile

from minicodec.training import config, run as runs
from minicodec.training.audio_files import Lot
from minicodec.training.augment import LEVEL, AugmentedFolder, Pauses, is_music, reverberate, room
from minicodec.training.config import AugmentationConfig
from minicodec.training.data import AudioFolder

RATE = 8000
TONES = {"music/a.wav": 400, "music/b.wav": 800, "speech/c.wav": 1200, "speech/d.wav": 1600, "noises/e.wav": 2000}
PLAIN = {"two": 0.0, "three": 0.0, "gain": (0.0, 0.0), "reverb": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five files, each a tone of its own at a level of its own: a spectrum tells who is in a mix."""
    path = tmp_path_factory.mktemp("tones")
    for i, (name, frequency) in enumerate(TONES.items()):
        (path / name).parent.mkdir(exist_ok=True)
        tone = 0.02 * (i + 1) * np.sin(2 * np.pi * frequency * np.arange(4 * RATE) / RATE)
        soundfile.write(path / name, tone, RATE, subtype="FLOAT")
    folder = AudioFolder(path, sample_rate=RATE, channels=1, valid_share=0, seed=1)
    folder.train = sorted({*folder.train, *folder.valid}, key=lambda f: f.name)
    folder.lot = Lot(folder.train)
    return folder


def examples(folder, n=200, **options):
    return AugmentedFolder(folder, AugmentationConfig(enabled=True, **(PLAIN | options))).batch(0, n)[:, :, 0]


def heard(x):
    """Which tones are in x."""
    spectrum = np.abs(np.fft.rfft(x)) / len(x) * 2
    return {name for name, f in TONES.items() if spectrum[f] > 0.1 * LEVEL}


def test_one_source_at_the_common_level(folder):
    for x in examples(folder, 30):
        assert len(heard(x)) == 1
        np.testing.assert_allclose(np.sqrt((x**2).mean()), LEVEL, rtol=1e-3)


def test_two_sources_add_up(folder):
    found = [heard(x) for x in examples(folder, 60, two=1.0)]
    assert max(map(len, found)) == 2
    assert {len(f) for f in found} <= {1, 2}  # the same file may be drawn twice
    assert set().union(*found) == set(TONES)


def test_three_sources_are_no_music(folder):
    found = [heard(x) for x in examples(folder, 60, three=1.0)]
    assert max(map(len, found)) == 3
    assert set().union(*found) == {name for name in TONES if not name.startswith("music")}


def test_probabilities_of_the_mixes(folder):
    """At the paper's: 0.64, 0.24, 0.12 give 1.48 sources on average; of five tones some coincide."""
    mixer = AugmentedFolder(folder, AugmentationConfig(enabled=True, reverb=0, gain=(0.0, 0.0)))
    counts = np.bincount([len(heard(x[:, 0])) for x in mixer.batch(1, 400)], minlength=4)[1:] / 400
    two, three = 0.24 * 4 / 5, 0.12 * 2 / 9  # all of them different
    np.testing.assert_allclose(counts[1], two + 0.12 * 6 / 9, atol=0.06)
    np.testing.assert_allclose(counts[2], three, atol=0.03)


def test_gain_is_within_its_bounds_and_reaches_them(folder):
    levels = 20 * np.log10(np.sqrt((examples(folder, 200, gain=(-10.0, 6.0)) ** 2).mean(axis=1)) / LEVEL)
    assert levels.min() >= -10.01
    assert levels.max() <= 6.01
    assert levels.min() < -9
    assert levels.max() > 5


def test_clipping_examples_are_rejected(folder):
    """At +20 dB a tone would peak at 0.9 and two of them clip: only single or quiet ones are left."""
    x = examples(folder, 100, two=0.5, gain=(20.0, 20.0))
    assert np.abs(x).max() <= 1
    assert all(len(heard(one)) == 1 or np.abs(one).max() < 1 for one in x)
    loud = examples(folder, 5, gain=(40.0, 40.0))  # nothing fits: scaled down instead of an endless search
    np.testing.assert_allclose(np.abs(loud).max(axis=1), 1, rtol=1e-3)


def test_music_alone_gets_no_reverb(folder):
    """A tone at its level stays exactly a tone; in a room its start differs from its end."""
    for x in examples(folder, 40, reverb=1.0):
        steady = np.abs(np.sqrt((x[:400] ** 2).mean()) / np.sqrt((x[-400:] ** 2).mean()) - 1)
        (name,) = heard(x)
        assert (steady < 1e-3) == name.startswith("music")


def test_room_decays_as_fast_as_it_says(rng):
    response = room(0.5, 16000, rng)
    np.testing.assert_allclose((response**2).sum(), 1)
    assert response[0] == np.abs(response).max()
    energy = response[1:] ** 2
    early, late = energy[800:1600].mean(), energy[4800:5600].mean()  # 0.25 s apart: 30 dB
    np.testing.assert_allclose(10 * np.log10(early / late), 30, atol=1.5)


def test_reverb_is_a_convolution(rng):
    x, response = rng.normal(size=(50, 2)), rng.normal(size=20)
    expected = np.stack([np.convolve(x[:, c], response)[:50] for c in range(2)], axis=1)
    np.testing.assert_allclose(reverberate(x, response), expected, atol=1e-12)


def test_a_batch_depends_on_seed_and_step_alone(folder):
    config = AugmentationConfig(enabled=True)
    one, two = AugmentedFolder(folder, config), AugmentedFolder(folder, config)
    two.batch(3, 4)
    np.testing.assert_array_equal(one.batch(7, 4), two.batch(7, 4))
    assert (one.batch(8, 4) != one.batch(7, 4)).any()


@pytest.mark.parametrize(
    "options",
    [{"two": 0.7, "three": 0.6}, {"gain": (3.0, 1.0)}, {"rt60": (0.0, 1.0)}, {"reverb": 2.0}, {"gain": (1.0,)}],
)
def test_impossible_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}.* cannot be used"):
        AugmentationConfig(**options)


def test_music_is_told_by_its_folder(folder):
    assert [f.name for f in folder.train if is_music(f)] == ["music/a.wav", "music/b.wav"]


def test_a_share_of_the_crops_falls_silent_for_a_while(folder):
    """One stretch of zeros, a tenth to six tenths of the crop, anywhere; the rest as it was."""
    plain, paused = folder.batch(3, 400), Pauses(folder, 0.25, seed=1).batch(3, 400)
    changed = plain != paused
    assert (paused[changed] == 0).all()
    hit = changed.any(axis=(1, 2))
    np.testing.assert_allclose(hit.mean(), 0.25, atol=0.06)
    ends = [np.flatnonzero(item)[[0, -1]] for item in changed[hit, :, 0]]
    lengths = np.array([last - first + 1 for first, last in ends]) / RATE
    # Tones cross zero, so a stretch of them may look a few samples shorter at either end, and never longer.
    assert 0.09 < lengths.min() < 0.15
    assert 0.55 < lengths.max() <= 0.6
    assert min(first for first, _ in ends) < 0.05 * RATE
    assert max(last for _, last in ends) > 0.95 * RATE
    for item, (first, last) in zip(changed[hit, :, 0], ends, strict=True):
        assert item[first : last + 1].mean() > 0.9


class OneClick:
    """Crops that are silent but for a click in their middle."""

    def batch(self, step, size):
        batch = np.zeros((size, 1000, 1), np.float32)
        batch[:, 500] = 1
        return batch


def test_a_crop_that_would_be_left_silent_has_no_pause(folder):
    assert Pauses(OneClick(), 1.0, seed=1).batch(0, 50).sum() == 50


def test_pauses_are_the_same_for_the_same_step(folder):
    pauses = Pauses(folder, 0.5, seed=1)
    np.testing.assert_array_equal(pauses.batch(7, 8), pauses.batch(7, 8))
    silent = [pauses.batch(step, 8) == 0 for step in (7, 8)]
    assert (silent[0] != silent[1]).any()


def test_a_run_has_pauses_where_they_are_asked_for(tmp_path):
    """In plain crops as in augmented ones; by default in none."""
    tone = np.sin(2 * np.pi * 500 * (np.arange(4 * RATE) + 0.5) / RATE)
    soundfile.write(tmp_path / "tone.wav", 0.1 * tone, RATE, subtype="FLOAT")
    for name, settings, expected in (
        ("none", [], 0),
        ("plain", ["pauses=1"], 8),
        ("augmented", ["pauses=1", "augment.enabled=true"], 8),
    ):
        recipe = config.from_preset("tiny_24khz", str(tmp_path), settings)
        run = runs.start(tmp_path / name, recipe)
        batch = run.batches.batch(0, 8)
        run.lock.release()
        silent = [(np.abs(item) < 1e-9).mean() > 0.09 for item in batch]
        assert sum(silent) == expected
