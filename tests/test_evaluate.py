"""`minicodec evaluate` on three short clips: rows against files counted and measured anew, resuming, bad input."""

import csv
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio, cli
from minicodec.errors import InputError
from minicodec.evaluation import evaluate, levels, scores
from minicodec.evaluation.baselines import ANCHORS, BASELINES
from minicodec.evaluation.scores import measure
from minicodec.evaluation.settings import Clip, Condition, settings_for
from minicodec.files import data_folder
from minicodec.training.audio_files import AudioFile
from minicodec.training.data import AudioFolder
from minicodec.workers import Killed

METRICS = ["si_sdr", "mel_distance"]
SYSTEMS = [("tiny_24khz", 1.5), ("tiny_24khz", 6.0), ("opus", 6.0), ("mp3", 8.0), ("opus", 8.0)]


@pytest.fixture(scope="module")
def model(model, tmp_path_factory):
    """An untrained tiny_24khz that takes its codebooks for trained."""
    codec = minicodec.load(model)
    codec.quantizer.updates[...] = 1
    path = tmp_path_factory.mktemp("ready") / "tiny.safetensors"
    codec.save(path)
    return path


def command(model, data, out, *more):
    options = ["--files", "all", "--kbps", "6", "1.5", "8", "--seconds", "1", "--jobs", "1", "--metrics", *METRICS]
    return ["evaluate", str(model), "--data", str(data), "--out", str(out), *options, *more]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """speech: 2 s at 24 kHz; music: 1 s of 44.1 kHz stereo, and 0.6 s of silence; at the top: 0.2 s, too short."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("speech", "music"):
        (folder / name).mkdir()
    wav, _ = audio.read(data_folder() / "speech_en_2.flac", start=24_000, frames=48_000)
    audio.write(folder / "speech" / "=voice,1.wav", wav, 24_000)
    audio.write(folder / "short.wav", wav[:, :4800], 24_000)
    wav, _ = audio.read(data_folder() / "music_song_44k_stereo.flac", start=44_100, frames=44_100)
    audio.write(folder / "music" / "song.flac", wav, 44_100)
    audio.write(folder / "music" / "nothing.wav", np.zeros((1, 14_400), np.float32), 24_000)
    return folder


@pytest.fixture(scope="module")
def done(clips, model, tmp_path_factory):
    """The folder of a finished evaluation. Its tests must not change it."""
    out = tmp_path_factory.mktemp("evaluation") / "out"
    assert cli.main(command(model, clips, out)) == 0
    return out


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_there_is_a_row_for_each_clip_system_and_rate(done):
    rows = rows_of(done / "results.csv")
    clips = {"speech-_voice_1": "speech", "music-song": "music", "music-nothing": "music"}
    expected = {(clip, name, f"{kbps:g}") for clip in clips for name, kbps in SYSTEMS}
    expected |= {(clip, name, "") for clip in clips for name in ANCHORS}
    assert {(row["clip"], row["system"], row["kbps"]) for row in rows} == expected
    assert len(rows) == len(expected)
    assert all(row["category"] == clips[row["clip"]] for row in rows)


def test_bytes_are_those_of_real_files(done, model):
    codec = minicodec.load(model)
    for row in rows_of(done / "results.csv"):
        wav, rate = audio.read(done / "clips" / row["clip"] / "reference.wav")
        seconds = wav.shape[1] / rate
        assert float(row["seconds"]) == pytest.approx(seconds, abs=1e-5)
        if not row["kbps"]:
            assert row["payload_bytes"] == row["file_bytes"] == row["payload_kbps"] == ""
            continue
        assert float(row["payload_kbps"]) == pytest.approx(int(row["payload_bytes"]) * 8 / 1000 / seconds, rel=1e-5)
        if row["system"] == "tiny_24khz":
            assert int(row["file_bytes"]) == len(codec.compress(wav, float(row["kbps"])))
            frames = -(-wav.shape[1] // 320)
            assert int(row["payload_bytes"]) == -(-frames * codec.config.levels(float(row["kbps"])) * 10 // 8)


def test_sounds_are_as_long_as_the_reference_and_in_time_with_it(done):
    """The figures are those of the sounds in the folder, up to their 16 bits, and the end that MP3 does not have."""
    for row in rows_of(done / "results.csv"):
        condition = Condition(row["system"], float(row["kbps"]) if row["kbps"] else None)
        place = done / "clips" / row["clip"]
        (reference, rate), (estimate, same) = (audio.read(place / n) for n in ("reference.wav", condition.file))
        assert rate == same == 24_000
        assert reference.shape == estimate.shape
        if row["clip"] == "music-nothing":
            assert row["si_sdr"] == "nan"
            continue
        end = -max(0, int(row["delay_samples"])) or None
        measured = measure(reference[:, :end], estimate[:, :end], rate, ["si_sdr"])
        if condition.system in ANCHORS:  # their error is nearly nothing but rounding
            assert float(row["si_sdr"]) > 15
        elif condition.system != "tiny_24khz":  # untrained, it answers with next to nothing
            assert float(row["si_sdr"]) == pytest.approx(measured["si_sdr"], abs=0.05)


def test_the_excerpt_is_the_middle(done, clips):
    whole, _ = audio.read(clips / "speech" / "=voice,1.wav")
    reference, _ = audio.read(done / "clips" / "speech-_voice_1" / "reference.wav")
    np.testing.assert_array_equal(reference, whole[:, 12_000:36_000])


def test_what_is_left_out_is_said(done):
    table = {(row["category"], row["system"], row["kbps"]): row for row in rows_of(done / "table.csv")}
    assert table["all clips", "opus", "1.5"]["left_out"] == "goes from 6 to 256 kbit/s"
    assert table["music", "mp3", "6"]["left_out"] == "goes from 8 to 160 kbit/s"
    assert table["music", "tiny_24khz", "8"]["left_out"] == "has 0.75, 1.5, 3, 6 kbit/s"
    assert table["music", "tiny_24khz", "8"]["clips"] == "0"
    text = (done / "results.md").read_text(encoding="utf-8")
    assert "| mp3 | 6 | – | – | 0 | goes from 8 to 160 kbit/s |  |" in text


def test_a_figure_that_a_clip_has_not_is_counted(done):
    table = {(row["category"], row["system"], row["kbps"]): row for row in rows_of(done / "table.csv")}
    line = table["all clips", "opus", "8"]
    assert (line["clips"], line["si_sdr_count"], line["mel_distance_count"]) == ("3", "2", "3")
    rows = [r for r in rows_of(done / "results.csv") if (r["system"], r["kbps"]) == ("opus", "8")]
    values = [float(row["si_sdr"]) for row in rows if row["si_sdr"] != "nan"]
    assert float(line["si_sdr"]) == pytest.approx(np.mean(values), rel=1e-5)
    bits = 8 * sum(int(row["payload_bytes"]) for row in rows)
    assert float(line["payload_kbps"]) == pytest.approx(bits / 1000 / sum(float(r["seconds"]) for r in rows), rel=1e-5)
    assert "] (2) |" in (done / "results.md").read_text(encoding="utf-8")


def test_levels_are_those_of_the_sounds(done):
    rows = {(row["clip"], row["system"], row["kbps"]): row for row in rows_of(done / "results.csv")}
    table = {(row["category"], row["system"], row["kbps"]): row for row in rows_of(done / "levels.csv")}
    place = done / "clips" / "music-song"
    (reference, rate), (estimate, _) = (audio.read(place / name) for name in ("reference.wav", "opus-8kbps.wav"))
    measured = levels.measure(reference, estimate, rate)
    assert len(measured) == 8
    for name, level in measured.items():
        found = rows["music-song", "opus", "8"][name]
        assert float(found) == pytest.approx(level, abs=0.1)  # its ends are cut off, and it is of 16 bits
        assert table["music", "opus", "8"][name] == found  # the other clip of music is silent
    low_passed = table["speech", "lowpass-3.5kHz", ""]
    assert float(low_passed["level_1000"]) == pytest.approx(0, abs=0.1)
    assert float(low_passed["level_4000"]) < -50


def test_curves_are_drawn(done):
    for name in (*METRICS, "levels"):
        assert (done / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_run_ends_in_the_same_table(done, clips, model, tmp_path):
    """As a kill leaves it: a clip half done, with the file that was being written; one not begun; no tables."""
    out = tmp_path / "out"
    shutil.copytree(done, out)
    for path in out.glob("*.*"):
        if path.name != "evaluation.json":
            path.unlink()
    half = out / "clips" / "music-song"
    for name in ("rows.json", "opus-8kbps.wav"):
        (half / name).unlink()
    (half / ".mp3-8kbps.0123.tmp.wav").write_bytes(b"RIFF")
    (half / "opus-6kbps.wav").write_bytes(b"RIFF")
    shutil.rmtree(out / "clips" / "speech-_voice_1")
    untouched = (out / "clips" / "music-nothing" / "rows.json").stat().st_mtime_ns
    assert cli.main(command(model, clips, out)) == 0
    assert (out / "results.csv").read_bytes() == (done / "results.csv").read_bytes()
    for name in ("table.csv", "levels.csv"):
        assert (out / name).read_bytes() == (done / name).read_bytes()
    assert (out / "clips" / "music-nothing" / "rows.json").stat().st_mtime_ns == untouched
    assert sorted(p.name for p in half.iterdir()) == sorted(p.name for p in (done / "clips" / "music-song").iterdir())
    assert audio.info(half / "opus-6kbps.wav").frames == 24_000


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--seconds", "2"], "holds an evaluation with other clips, seconds;"),
        (["--baselines", "opus"], "with other conditions"),
        (["--metrics", "si_sdr"], "with other metrics"),
        (["--metrics", "loudness"], "loudness: no such metric"),
        (["--baselines", "vorbis"], "vorbis: no such baseline; there are opus, mp3"),
        (["--kbps", "7"], "has 0.75, 1.5, 3, 6 kbit/s"),
        (["--kbps", "0"], "--kbps above 0"),
        (["--seconds", "0.1"], "--seconds from 0.5"),
        (["--seconds", "inf"], "--seconds from 0.5"),
        (["--seconds", "nan"], "--seconds from 0.5"),
        (["--jobs", "0"], "--jobs from 1"),
    ],
)
def test_bad_input_is_one_line(done, clips, model, capsys, more, reason):
    before = (done / "evaluation.json").read_bytes()
    assert cli.main(command(model, clips, done, *more)) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1
    assert (done / "evaluation.json").read_bytes() == before


@pytest.mark.thorough
def test_damaged_clips_are_left_out_and_named(clips, model, done, tmp_path, capsys):
    """The others have the rows that they have without them."""
    data, out = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(clips, data)
    wav, _ = audio.read(data / "speech" / "=voice,1.wav")
    wav[0, wav.shape[1] // 2] = np.nan
    soundfile.write(data / "speech" / "bad.wav", wav.T, 24_000, subtype="FLOAT")
    assert cli.main(command(model, data, out)) == 0
    err = capsys.readouterr().err
    assert err.count(f"left out: {data / 'speech' / 'bad.wav'}: there are samples that are NaN or infinite\n") == 1
    assert rows_of(out / "results.csv") == rows_of(done / "results.csv")


def test_help_names_every_metric_and_baseline(capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"{', '.join(scores.METRICS)}; default: all" in text
    assert f"{', '.join(BASELINES)}; default: both" in text


@pytest.mark.parametrize("damage", [b"", b"[", b"\xff", b"[]", b"{}", b"7", b'[{"system": "opus"}]', b"[" * 9999])
def test_damaged_rows_are_named(done, clips, model, tmp_path, capsys, damage):
    """That deleting what is named is enough, the interrupted run above shows."""
    out = tmp_path / "out"
    shutil.copytree(done, out)
    rows = out / "clips" / "music-song" / "rows.json"
    rows.write_bytes(damage)
    assert cli.main(command(model, clips, out)) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith(f"minicodec: {rows}: is damaged (")
    assert err.endswith(f"delete the folder {rows.parent}, and the clip is done again\n")


CHANGES = [{"payload_bytes": "x"}, {"seconds": 0}, {"seconds": True}, {"si_sdr": None}, {"clip": "other"}, {"more": 1}]


@pytest.mark.parametrize("change", CHANGES)
def test_rows_of_which_a_part_is_wrong_are_named(done, clips, model, tmp_path, capsys, change):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    path = out / "clips" / "music-song" / "rows.json"
    rows = json.loads(path.read_bytes())
    assert rows[0]["payload_bytes"] is not None
    path.write_text(json.dumps([rows[0] | change, *rows[1:]]), encoding="utf-8")
    assert cli.main(command(model, clips, out)) == 2
    assert f"minicodec: {path}: is damaged (its rows are others, perhaps of another version)" in capsys.readouterr().err


def test_a_folder_with_other_things_in_it_is_left_alone(clips, model, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    assert cli.main(command(model, clips, tmp_path)) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "evaluation.json").write_text("{", encoding="utf-8")
    assert cli.main(command(model, clips, tmp_path)) == 2
    assert "evaluation.json: is damaged" in capsys.readouterr().err


def files(*names, frames=24_000):
    return [AudioFile(name, Path("/audio") / name, 24_000, frames) for name in names]


def settings_of(codecs, paths, *clips):
    some = {"kbps": [6.0], "baselines": [], "metrics": ["si_sdr"], "seconds": 1.0}
    return settings_for(paths, clips or files("a.wav"), codecs=codecs, **some)


def test_names_are_folders_and_no_two_are_the_same(model):
    codec = minicodec.load(model)
    names = ["a/b.wav", "a/b.mp3", "A/B.ogg", "a-b.wav", "../x.wav", "=1+1.wav", "a/<img src=x>.wav", "…/ü.wav"]
    names.append("-.wav")
    clips = settings_of([codec], ["x"], *files(*names)).clips
    assert [clip.name for clip in clips[:4]] == ["a-b", "a-b_2", "A-B_3", "a-b_4"]
    assert [clip.name for clip in clips[4:]] == ["x", "1_1", "a-_img_src_x", "ü", "_"]
    assert [clip.category for clip in clips] == ["a", "a", "A", "files", "_", "files", "a", "_", "files"]
    long = settings_of([codec], ["x"], *files("é" * 120 + "1.wav", "é" * 120 + "2.wav")).clips
    assert [len(clip.name.encode()) < 200 for clip in long] == [True, True]
    assert long[0].name != long[1].name


def test_models_of_one_preset_are_told_apart(model, tmp_path):
    codec = minicodec.load(model)
    settings = settings_of([codec, codec], [str(tmp_path / "first"), str(tmp_path / "second")])
    assert [m.system for m in settings.models] == ["tiny_24khz_first", "tiny_24khz_second"]
    with pytest.raises(ValueError, match="another system is called tiny_24khz_run"):
        settings_of([codec, codec], ["a/run", "b/run"])
    stereo = minicodec.build("encodec_48khz")
    with pytest.raises(ValueError, match="differs from one in sample rate or channels"):
        settings_of([codec, stereo], ["one", "two"])


def test_codebooks_that_are_not_trained_are_no_rate(model):
    codec = minicodec.load(model)
    codec.quantizer.updates[2:] = 0
    settings = settings_for(
        ["m"], files("a.wav"), kbps=[1.5, 3.0], baselines=[], metrics=["si_sdr"], seconds=1.0, codecs=[codec]
    )
    assert [c.reason for c in settings.conditions[:2]] == ["", "only 2 of its codebooks are trained"]


def test_by_default_only_validation_files_are_taken(model, tmp_path, capsys, monkeypatch):
    """Those that a training on this folder has not seen."""
    wav = 0.1 * np.random.default_rng(0).normal(size=(1, 16_000)).astype(np.float32)
    for i in range(12):
        audio.write(tmp_path / f"{i}.wav", wav, 24_000)
    valid = AudioFolder(tmp_path, sample_rate=24_000, channels=1).valid
    argv = ["evaluate", str(model), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert 0 < len(valid) < 4
    monkeypatch.setattr(evaluate, "run", lambda *args: 1 / 0)  # by then it is decided
    with pytest.raises(ZeroDivisionError):
        cli.main([*argv, "--baselines", "--metrics", "si_sdr"])
    clips = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))["clips"]
    assert [clip["path"] for clip in clips] == [str(file.path) for file in valid]
    assert f"{len(valid)} of 12 files" in capsys.readouterr().err


def test_a_clip_whose_worker_dies_is_tried_again_alone_and_a_deadly_one_is_named(monkeypatch, tmp_path):
    clips = [Clip(name, "files", f"/clips/{name}.wav", 0) for name in "ab"]
    deaths, tries = {"a": 1}, Counter()

    def each(todo, work, start, arguments, jobs, cluster, alone):
        while todo:
            clip = todo.popleft()
            assert alone(clip) == (tries[clip.name] > 0)
            tries[clip.name] += 1
            yield clip, Killed() if tries[clip.name] <= deaths.get(clip.name, 0) else None

    monkeypatch.setattr(evaluate, "each", each)
    assert list(evaluate.run(tmp_path, None, clips, 2)) == [clips[1], clips[0]]
    deaths["b"] = 2
    tries.clear()
    with pytest.raises(InputError, match=rf"^{tmp_path}: two workers were killed at /clips/b\.wav, perhaps"):
        list(evaluate.run(tmp_path, None, clips, 2))
