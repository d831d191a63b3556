"""Files that are damaged, silent, short, or somebody else's: a training leaves them out, says so once, and goes on."""

import os
import shutil

import numpy as np
import pytest
import soundfile

from minicodec.errors import InputError
from minicodec.training import checkpoint, config, run as runs
from minicodec.training.audio_files import AudioFile, Lot
from minicodec.training.augment import AugmentedFolder
from minicodec.training.config import AugmentationConfig
from minicodec.training.data import AudioFolder
from tests.small_run import SETTINGS, make_audio

RATE = 8000


def noise(seconds, seed):
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * RATE))


def zeroed(path):
    """400 bytes in the middle, as of a disk that has lost a block."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)


def with_samples(value):
    def damage(path):
        wav, rate = soundfile.read(path)
        wav[len(wav) // 3] = value
        soundfile.write(path, wav, rate, subtype="FLOAT", format="WAV")

    return damage


DAMAGE = {
    "NaN": (".wav", with_samples(np.nan), "NaN or infinite"),
    "infinity": (".wav", with_samples(-np.inf), "NaN or infinite"),
    "integers as floats": (".wav", with_samples(20000.0), "there are samples of 2e+04, where full scale is 1"),
    "a lost block": (".flac", zeroed, "bad.flac: "),
    "cut while it is read": (".wav", lambda path: os.truncate(path, 5 * RATE), "bad.wav: there are no samples from"),
    "gone": (".wav", os.remove, "there is no such file"),
}


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        soundfile.write(tmp_path / f"good{i}.wav", noise(6, i), RATE)
    return tmp_path


def opened(folder, **options):
    return AudioFolder(folder, **{"sample_rate": RATE, "channels": 1, "seconds": 0.5, "valid_share": 0} | options)


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_places_are_drawn_anew(folder, kind):
    """Crops are finite, one line names the file, and what is drawn depends on nothing that was read before."""
    suffix, damage, reason = DAMAGE[kind]
    path = folder / f"bad{suffix}"
    soundfile.write(path, noise(8, 9), RATE)
    lines = []
    data, fresh = opened(folder, report=lines.append), opened(folder)
    for each in (data, fresh):
        each.lot = Lot(sorted(each.train + each.valid, key=lambda file: file.name))
    lines.clear()
    damage(path)
    batches = [data.batch(step, 8) for step in range(20)]
    assert np.isfinite(batches).all()
    assert np.abs(batches).max(axis=(2, 3)).min() > 0.1
    (line,) = lines
    assert line.startswith(f"left out where it cannot be read: {path}: ")
    assert reason in line
    for step in (19, 3):  # as after a resume
        np.testing.assert_array_equal(fresh.batch(step, 8), batches[step])
    mixed = AugmentedFolder(data, AugmentationConfig(enabled=True)).batch(0, 20)
    assert np.isfinite(mixed).all()
    assert lines == [line]


def test_where_nothing_can_be_read_the_last_reason_is_named(folder):
    data = opened(folder)
    for file in data.train + data.valid:
        with_samples(np.nan)(file.path)
        os.truncate(file.path, 1000)
    with pytest.raises(InputError, match=r"^none of 11 crops drawn could be read, at last: .*good"):
        data.batch(0, 1)


def test_validation_uses_what_can_be_read(folder):
    soundfile.write(folder / "bad.wav", noise(6, 9), RATE)
    data = opened(folder)
    data.valid = sorted(data.train + data.valid, key=lambda file: file.name)
    with_samples(np.nan)(folder / "bad.wav")  # at a third: other places of it serve
    os.truncate(folder / "good0.wav", 10)
    clips = data.valid_clips(4, 1.0)
    assert sorted(name for name, _ in clips) == ["bad.wav", "good1.wav", "good2.wav"]
    assert all(np.isfinite(clip).all() for _, clip in clips)
    assert len(data.notices) == 2
    data.valid = [file for file in data.valid if file.name == "good0.wav"]
    with pytest.raises(InputError, match="none of the 1 files for validation can be read"):
        data.valid_clips(4, 1.0)


def test_drawing_is_numpys_choice_and_takes_no_time_with_many_files(rng):
    """The same file as rng.choice gives with these probabilities, from the same random number."""
    seconds = rng.uniform(0.1, 20, 28_000)
    lot = Lot([AudioFile(str(i), None, 1000, round(1000 * s)) for i, s in enumerate(seconds)])
    shares = np.array([file.seconds for file in lot.files])
    ours, numpys = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(50):
        assert lot.draw(ours) is lot.files[numpys.choice(28_000, p=shares / shares.sum())]
    assert ours.random() == numpys.random()


def test_durations_are_added_up_once(folder, monkeypatch):
    data, asked = opened(folder), []
    seconds = AudioFile.seconds.fget
    monkeypatch.setattr(AudioFile, "seconds", property(lambda file: asked.append(file) or seconds(file)))
    data.batch(0, 20)
    assert asked == []


@pytest.mark.parametrize("kind", ["silent", "short", "good"])
def test_what_makes_a_training_vain_is_said_at_its_start(tmp_path, kind):
    for i in range(6):
        wav = {"silent": np.zeros(3 * RATE), "short": noise(0.01, i), "good": noise(0.3, i)}[kind]
        soundfile.write(tmp_path / f"{i}.wav", wav, RATE)
    data = opened(tmp_path)
    data.look()
    assert data.notices == {
        "silent": ["16 of 16 crops drawn at random are silent (below -60 dBFS) and teach nothing"],
        "short": ["the files are so short that crops of 0.5 s are 98% zeros; try fewer seconds"],
        "good": [],
    }[kind]


def test_names_that_are_not_utf8(tmp_path):
    names = [b"caf\xe9.wav", b"\xff\xfe.flac", "schön.wav".encode(), b"plain.ogg"]
    for i, name in enumerate(names):
        plain = tmp_path / f"x{i}{os.fsdecode(name)[-5:].lstrip('é.')}"
        soundfile.write(tmp_path / f"written.{os.fsdecode(name).rsplit('.')[-1]}", noise(2, i), RATE)
        os.rename(tmp_path / f"written.{os.fsdecode(name).rsplit('.')[-1]}", os.path.join(os.fsencode(tmp_path), name))
        assert not plain.exists()
    data = opened(tmp_path)
    assert data.notices == []
    assert {os.fsencode(file.name) for file in data.train + data.valid} == set(names)
    assert np.isfinite(data.batch(0, 20)).all()


def test_links_are_followed_once(tmp_path):
    there = tmp_path / "there"
    (there / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.wav", "deep/b.wav")):
        soundfile.write(there / name, noise(2, i), RATE)
    (there / "deep" / "back").symlink_to(there)
    here = tmp_path / "here"
    here.mkdir()
    (here / "corpus").symlink_to(there)
    data = opened(here)
    assert sorted(file.name for file in data.train + data.valid) == ["corpus/a.wav", "corpus/deep/b.wav"]
    link = tmp_path / "link"
    link.symlink_to(there)
    assert sorted(file.name for file in opened(link).train + opened(link).valid) == ["a.wav", "deep/b.wav"]


def final_state(run):
    return checkpoint.load(checkpoint.in_folder(run / "checkpoints")[-1])


def test_a_run_beside_its_data_does_not_train_on_its_own_samples(tmp_path):
    """Resumed, it is still the run that it would be elsewhere; and another run there does not hear it either."""
    states = []
    for where in ("inside", "outside"):
        data = make_audio(tmp_path / where)
        run = (data if where == "inside" else tmp_path) / "runs" / "one"
        recipe = config.from_preset("tiny_24khz", str(data), [*SETTINGS, "steps=6", "validate_every=3"])
        assert runs.start(run, recipe).train()
        assert list((run / "samples").rglob("*.wav"))
        resumed = runs.resume(run, 8)
        assert sorted(f.name for f in resumed.data.train + resumed.data.valid) == [f"chord{i}.wav" for i in range(3)]
        assert resumed.train()
        states.append(run / "checkpoints/step-00000008.safetensors")
    assert states[0].read_bytes() == states[1].read_bytes()
    (notice,) = [line for line in resumed_notices(tmp_path / "inside") if "training run" in line]
    assert notice == f"left out: {tmp_path / 'inside/runs/one'}: the folder of a training run"


def resumed_notices(folder):
    return AudioFolder(folder, sample_rate=24_000, channels=1).notices


@pytest.mark.thorough
def test_a_run_with_a_damaged_file_goes_on_and_resumes_to_the_same_bits(tmp_path, capsys):
    """NaN in one file, a lost block in another. Of the two runs, one is stopped and resumed."""
    data = make_audio(tmp_path / "audio")
    wav = np.random.default_rng(0).normal(size=24_000 * 20) / 20
    soundfile.write(data / "lost.flac", wav, 24_000)
    zeroed(data / "lost.flac")
    wav[24_000::24_000] = np.nan
    soundfile.write(data / "nan.wav", wav, 24_000, subtype="FLOAT")
    recipe = config.from_preset("tiny_24khz", str(data), [*SETTINGS, "steps=14", "augment.enabled=true"])
    run = runs.start(tmp_path / "one", recipe)
    at_start = len(run.data.notices)
    assert run.train()
    expected = [f"left out where it cannot be read: {data / name}: " for name in ("lost.flac", "nan.wav")]
    assert [line[: len(text)] for line, text in zip(sorted(run.data.notices), expected, strict=True)] == expected
    assert capsys.readouterr().err.count("notice: left out") == 2 - at_start
    other = tmp_path / "other"
    assert runs.start(other, config.with_steps(recipe, 5)).train()
    assert runs.resume(other, 14).train()
    name = "checkpoints/step-00000014.safetensors"
    assert (tmp_path / "one" / name).read_bytes() == (other / name).read_bytes()


def test_silent_data_leaves_no_nan_in_the_log(tmp_path, capsys):
    data = tmp_path / "silence"
    data.mkdir()
    for i in range(3):
        soundfile.write(data / f"{i}.wav", np.zeros(48_000), 24_000)
    settings = [*SETTINGS, "steps=16", "validate_every=4", "adversary.enabled=true", "adversary.filters=2"]
    settings += ["adversary.windows=[256]", "adversary.start=3"]
    run = runs.start(tmp_path / "run", config.from_preset("tiny_24khz", str(data), settings))
    assert "16 of 16 crops drawn at random are silent" in run.data.notices[-1]
    assert run.train()
    text = (tmp_path / "run" / "log.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert run.log.read()[-1]["step"] == 16
    shutil.rmtree(data)
