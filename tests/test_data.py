"""Training data: the same crops for the same step, taken from where they should be; and the thread beside it."""

import threading

import numpy as np
import pytest
import soundfile

from minicodec.errors import InputError
from minicodec.training.audio_files import Lot
from minicodec.training.data import AudioFolder
from minicodec.training.prefetch import Prefetcher

RATE = 8000


def noise(seconds, seed, channels=1):
    white = np.random.default_rng(seed).standard_normal((int(seconds * RATE), channels))
    return 0.1 * np.cumsum(white - white.mean(axis=0), axis=0) / 30  # brown: lossy formats keep low frequencies


@pytest.fixture
def folder(tmp_path):
    """Six files of all formats, in subfolders, with suffixes of both cases."""
    (tmp_path / "a" / "deep").mkdir(parents=True)
    for name, seconds in (
        ("one.wav", 3),
        ("a/two.FLAC", 4),
        ("a/three.ogg", 20),
        ("a/deep/four.mp3", 6),
        ("five.mp3", 5),
        ("six.ogg", 9),
    ):
        soundfile.write(tmp_path / name, noise(seconds, len(name), 2), RATE)
    (tmp_path / "notes.txt").write_text("not audio, and not named as audio")
    (tmp_path / ".hidden.wav").write_text("not audio either")
    return tmp_path


def opened(folder, **options):
    return AudioFolder(folder, **{"sample_rate": RATE, "channels": 1, "seconds": 0.5} | options)


def test_a_batch_depends_on_seed_and_step_and_on_nothing_read_before(folder):
    fresh = {step: opened(folder).batch(step, 6) for step in (9, 2, 5)}
    worn = opened(folder)
    for step in (5, 0, 2, 1, 9):
        batch = worn.batch(step, 6)
        if step in fresh:
            np.testing.assert_array_equal(batch, fresh[step])
    assert batch.shape == (6, RATE // 2, 1)
    assert batch.dtype == np.float32
    assert np.abs(fresh[9] - fresh[2]).max() > 0.01
    assert np.abs(opened(folder, seed=1).batch(9, 6) - fresh[9]).max() > 0.01
    np.testing.assert_array_equal(worn.batch(9, 3), fresh[9][:3])


@pytest.mark.parametrize("suffix", ["ogg", "mp3", "flac"])
def test_reading_is_deterministic_in_every_format(tmp_path, suffix):
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.{suffix}", noise(15, ord(name)), RATE)
    data = opened(tmp_path)
    first = [data.batch(step, 4) for step in range(8)]
    for step in (7, 3, 0, 5):  # another order, so that every crop follows other reads than before
        np.testing.assert_array_equal(data.batch(step, 4), first[step])


@pytest.mark.parametrize("rate", [RATE, 11_025])
def test_crops_are_pieces_of_the_file_without_edges_of_the_resampler(tmp_path, rate):
    """Read a sine: every crop must be a sine of the same frequency and size up to its very ends."""
    time = np.arange(6 * rate) / rate
    wav = np.stack([np.sin(2 * np.pi * 440 * time), np.zeros(len(time))], axis=1)
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, wav, rate)
    data = opened(tmp_path)
    inner = [crop[:, 0] for crop in data.batch(0, 20)]
    basis = np.stack([np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE + p) for p in (0, np.pi / 2)], axis=1)
    phases = set()
    for crop in inner:
        fit, *_ = np.linalg.lstsq(basis, crop, rcond=None)
        # Crops from the first or last samples of the file hold its own hard edge, so a few may ring there.
        np.testing.assert_allclose(crop[100:-100], (basis @ fit)[100:-100], atol=2e-3)
        assert np.hypot(*fit) == pytest.approx(0.5, abs=1e-3)  # the mean of the sine and the silent channel
        phases.add(round(float(np.arctan2(*fit)), 2))
    assert len(phases) > 10
    ends = np.array([np.abs(crop - basis @ np.linalg.lstsq(basis, crop, rcond=None)[0]).max() for crop in inner])
    assert np.median(ends) < 1e-4


def test_channels(folder):
    stereo = opened(folder, channels=2).batch(3, 4)
    mono = opened(folder).batch(3, 4)
    assert stereo.shape == (4, RATE // 2, 2)
    np.testing.assert_allclose(stereo.mean(axis=2, keepdims=True), mono, atol=1e-6)


def test_files_are_drawn_by_their_duration(tmp_path):
    for name, seconds, level in (("valid", 2, 0.9), ("long", 30, 0.5), ("short", 3, 0.1)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(seconds * RATE, level), RATE)
    data = opened(tmp_path)
    data.lot = Lot(sorted(data.train + data.valid, key=lambda file: file.name))  # whatever side the hash chose
    levels = np.round(np.concatenate([data.batch(step, 10)[:, 500, 0] for step in range(40)]), 1)
    shares = [np.mean(levels == np.float32(level)) for level in (0.5, 0.1, 0.9)]
    np.testing.assert_allclose(shares, np.array([30, 3, 2]) / 35, atol=0.06)


def test_short_files_are_followed_by_zeros(tmp_path):
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.full(1000, 0.5), RATE)
    crop = opened(tmp_path).batch(0, 1)[0, :, 0]
    np.testing.assert_array_equal(crop, np.r_[np.full(1000, 0.5), np.zeros(3000)].astype(np.float32))


def test_silence_is_avoided_but_accepted_where_there_is_nothing_else(tmp_path):
    mostly = np.concatenate([np.zeros(8 * RATE), np.full(3 * RATE, 0.3)])
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", mostly, RATE)
    crops = opened(tmp_path).batch(0, 60)
    assert np.mean(np.abs(crops).max(axis=(1, 2)) > 0) > 0.9  # without redraws it would be about 0.33
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(RATE), RATE)
    np.testing.assert_array_equal(opened(tmp_path).batch(0, 2), np.zeros((2, RATE // 2, 1)))


def test_the_split_is_by_name_and_moves_nothing_when_files_come(tmp_path):
    names = [f"{i:03}.wav" for i in range(120)]
    for name in names[:60]:
        soundfile.write(tmp_path / name, noise(0.1, 0), RATE)
    before = opened(tmp_path, valid_share=0.2)
    for name in names[60:]:
        soundfile.write(tmp_path / name, noise(0.1, 0), RATE)
    after = opened(tmp_path, valid_share=0.2)
    sides = [{file.name for file in side} for side in (before.train, before.valid, after.train, after.valid)]
    assert sides[0] <= sides[2]
    assert sides[1] <= sides[3]
    assert not sides[2] & sides[3]
    assert sides[2] | sides[3] == set(names)
    assert 12 <= len(sides[3]) <= 36
    # Whose sha256 begins with less than 0.2·256, by sha256sum: the same on every machine, in every year.
    assert sorted(sides[3])[:4] == ["000.wav", "004.wav", "005.wav", "009.wav"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.999])
def test_neither_side_of_the_split_is_empty(tmp_path, share):
    for count, name in enumerate(("x.wav", "y.wav", "z.wav"), start=1):
        soundfile.write(tmp_path / name, noise(0.1, 0), RATE)
        data = opened(tmp_path, valid_share=share)
        assert data.train
        assert data.valid
        if count == 1:
            assert data.train == data.valid
            assert "the only file" in data.notices[0]
        else:
            assert len(data.train) + len(data.valid) == count
            assert data.notices == []


def test_unreadable_files_are_named_once_and_left_out(folder):
    (folder / "broken.wav").write_bytes(b"RIFF, but not really")
    cut = folder / "cut.flac"
    soundfile.write(cut, noise(3, 0), RATE)
    cut.write_bytes(cut.read_bytes()[:-4000])
    lines = []
    data = opened(folder, report=lines.append)
    assert [file.name for file in sorted(data.train + data.valid, key=lambda file: file.name)] == [
        "a/deep/four.mp3", "a/three.ogg", "a/two.FLAC", "five.mp3", "one.wav", "six.ogg",
    ]  # fmt: skip
    assert lines == data.notices
    assert len(lines) == 2
    assert "broken.wav" in lines[0]
    assert "cut.flac" in lines[1]


def test_a_cut_mp3_and_a_flac_stream_count_for_what_they_hold(tmp_path):
    soundfile.write(tmp_path / "cut.mp3", noise(10, 0), RATE)
    content = (tmp_path / "cut.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(content[: len(content) // 2])
    soundfile.write(tmp_path / "stream.flac", noise(10, 0), RATE)
    content = bytearray((tmp_path / "stream.flac").read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])  # the length in STREAMINFO: unknown
    (tmp_path / "stream.flac").write_bytes(content)
    data = opened(tmp_path)
    seconds = {file.name: file.seconds for file in data.train + data.valid}
    assert seconds["stream.flac"] == 10
    assert 4 < seconds["cut.mp3"] < 6
    for side in (data.train, data.valid):
        data.lot = Lot(side)
        assert np.abs(data.batch(0, 8)).max(axis=(1, 2)).min() > 0


def test_bad_folders_and_files_that_vanish_are_input_errors(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for bad, reason in (("none", "no such folder"), ("empty", "no readable audio"), ("one.wav", "no such folder")):
        with pytest.raises(InputError, match=reason):
            opened(tmp_path / bad)
    data = opened(folder)
    for file in data.train:
        file.path.write_bytes(b"overwritten")
    with pytest.raises(InputError, match="cannot be read as audio"):
        data.batch(0, 4)


def test_valid_clips_are_distinct_long_and_loud(tmp_path):
    quiet = np.concatenate([np.full(6 * RATE, 0.001), np.full(2 * RATE, 0.25), np.full(4 * RATE, 0.001)])
    for i in range(12):
        soundfile.write(tmp_path / f"{i}.wav", quiet if i else quiet[:RATE], RATE)
    data = opened(tmp_path, valid_share=0.5)
    clips = data.valid_clips(4, 1.5)
    assert len({name for name, _ in clips}) == 4
    assert {name for name, _ in clips} <= {file.name for file in data.valid if file.seconds > 1.5}
    for _, clip in clips:
        assert clip.shape == (12_000, 1)
        assert np.mean(clip > 0.2) > 0.7
    for (_, a), (_, b) in zip(clips, opened(tmp_path, valid_share=0.5).valid_clips(4, 1.5), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(data.valid_clips(99, 1.5)) == len(data.valid)


def test_the_prefetcher_gives_the_same_batches_in_order(folder):
    data = opened(folder)
    with Prefetcher(lambda step: data.batch(step, 3), 7, ahead=2) as batches:
        for step, batch in zip(range(7, 12), batches, strict=False):
            np.testing.assert_array_equal(batch, data.batch(step, 3))


def test_the_prefetcher_passes_errors_on_at_their_turn():
    def make(step):
        if step == 3:
            raise InputError("gone.wav: vanished")
        return np.array(step)

    with Prefetcher(make, 0) as batches:
        iterator = iter(batches)
        assert [int(next(iterator)) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(InputError, match="vanished"):
            next(iterator)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_prefetcher_stops_its_thread(error):
    made = []

    def make(step):
        made.append(step)
        return np.array(step)

    def consume():
        with Prefetcher(make, 0, ahead=2) as batches:
            for batch in batches:
                if error is not None:
                    raise error
                if batch == 5:
                    return

    if error is None:
        consume()
    else:
        with pytest.raises(error):
            consume()
    assert len(made) <= 5 + 1 + 2 + 2  # consumed, waiting, in the making
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
