"""The demo, with the bundled model and with one that trains in seconds: what it prints is what it wrote."""

import re

import numpy as np
import pytest

import minicodec
from minicodec import audio
from minicodec.cli import demo, main
from minicodec.files import data_folder
from minicodec.metrics import si_sdr
from tests.small_run import SETTINGS


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(demo, "SETTINGS", tuple(SETTINGS))
    monkeypatch.setattr(demo, "QUANTIZED_STEPS", 8)
    monkeypatch.setattr(demo, "CLIPS", ("drums_1.flac", "music_song_44k_stereo.flac"))
    monkeypatch.setattr(demo, "CLIP_SECONDS", 1.0)


def check(text, out, codec, clip):
    """The rows of one clip's table, and the files that they name."""
    rows = [line.split() for line in text.splitlines() if line.endswith(".ecdc") and clip in line and "kbps" in line]
    assert [float(row[0]) for row in rows] == list(codec.bandwidths)
    original, rate = audio.read(out / f"{clip}.wav")
    assert original.shape == (1, rate)
    for row in rows:
        packet = (out / row[4]).read_bytes()
        header = len(re.match(rb"ECDC.{5}\{.*?\}", packet, re.DOTALL).group())
        assert float(row[1]) == round((len(packet) - header) * 8 / 1000, 2) == float(row[0])
        decoded, _ = minicodec.decompress(packet, codec)
        assert float(row[2]) == pytest.approx(float(si_sdr(original, decoded)[0]), abs=0.2)
        written, _ = audio.read((out / row[4]).with_suffix(".wav"))
        np.testing.assert_allclose(written, np.clip(decoded, -1, 1), rtol=0, atol=2**-15)
    assert (out / f"{clip}.png").read_bytes().startswith(b"\x89PNG")


def test_the_bundled_model_compresses_clips(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    for clip in ("drums_1", "music_song_44k_stereo"):
        check(text, out, minicodec.load(), clip)
    drums, _ = audio.read(data_folder() / "drums_1.flac")
    np.testing.assert_allclose(audio.read(out / "drums_1.wav")[0], drums[:, :24_000], atol=2**-15)
    for line in re.findall(r"minicodec (\w+) ", text):
        assert line in ("encode", "decode", "demo")


def test_the_table_tells_the_truth_after_a_training(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--train", "12", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    (clip,) = re.findall(r"; (\w+)\.flac is kept aside", text)
    check(text, out, minicodec.load(out / "model.safetensors"), clip)
    for line in re.findall(r"minicodec (\w+) ", text):
        assert line in ("encode", "decode", "train")


@pytest.mark.parametrize("name", ["drums_1.wav", "model.safetensors", "thesis.txt"])
def test_it_writes_into_no_folder_that_others_have_filled(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(b"precious")
    for options in ([], ["--train", "12"]):
        assert main(["demo", "--out", str(tmp_path), *options]) == 2
        reason = f"holds files that are not the demo's ({name}); choose another folder with --out"
        assert capsys.readouterr() == ("", f"minicodec: {tmp_path}: {reason}\n")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, b"precious")]


def test_it_replaces_its_own_files_also_of_one_that_was_interrupted(tmp_path, monkeypatch, capsys):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "_compress", interrupt)
        assert main(["demo", "--out", str(tmp_path)]) == 130
    (tmp_path / "drums_1_6kbps.wav").write_bytes(b"of this demo")
    assert main(["demo", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "drums_1_6kbps.wav").read_bytes().startswith(b"RIFF")


def test_what_can_be_no_folder(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr() == ("", f"minicodec: {tmp_path / 'file'}: cannot be the demo's folder (File exists)\n")


def test_too_few_steps(tmp_path, capsys):
    assert main(["demo", "--train", "8", "--out", str(tmp_path / "x")]) == 2
    assert "--train 8: the demo needs more than 8 steps" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
