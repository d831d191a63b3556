"""Entropy coding on the command line: encode --lm, info, decode --start and --skip-damaged."""

import re

import numpy as np
import pytest
import soundfile

from minicodec import audio
from minicodec.cli import main
from tests.entropy_models import exact_lm, small_codec

SAMPLES = 300 * 50 - 2  # 50 frames: chunks of 20, 20 and 10


@pytest.fixture(scope="module")
def codec():
    return small_codec()


@pytest.fixture(scope="module")
def lm(codec):
    return exact_lm(codec=codec.name, scale=2.0)


@pytest.fixture
def folder(codec, lm, tmp_path, monkeypatch):
    """A run's folder with both models, and a file of 12 seconds."""
    codec.save(tmp_path / "model.safetensors")
    lm.save(tmp_path / "lm.safetensors")
    wav = np.random.default_rng(0).normal(0, 0.1, SAMPLES)
    soundfile.write(tmp_path / "in.wav", wav, 1200, subtype="FLOAT")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def facts(capsys):
    return dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())


def test_commands(folder, codec, lm, capsys):
    """Encode, info, decode; from somewhere on; the model beside the codec's file, by its name, or none."""
    wav = audio.read("in.wav")[0]
    assert main(["encode", "in.wav", "a.ecdc", "-m", ".", "-b", "0.048", "--lm"]) == 0
    assert (folder / "a.ecdc").read_bytes() == codec.compress(wav, 0.048, lm=lm)
    assert main(["encode", "in.wav", "b.ecdc", "-m", "model.safetensors", "-b", "0.048", "--lm", "lm.safetensors"]) == 0
    assert (folder / "b.ecdc").read_bytes() == (folder / "a.ecdc").read_bytes()
    capsys.readouterr()
    assert main(["info", "a.ecdc", "-m", "."]) == 0
    found = facts(capsys)
    size = len((folder / "a.ecdc").read_bytes())
    assert found["predictor"].strip() == f"lm-{lm.digest[:16]}, starting afresh in each of 3 chunks of 5 s"
    assert found["saved"].strip() == f"{100 - 100 * size / 75:.1f} % of the 75 bytes that the codes take without it"
    for name in "ab":
        assert main(["decode", f"{name}.ecdc", f"{name}.wav", "-m", "."]) == 0
    expected = codec.decode(codec.encode(wav, 0.048), SAMPLES)
    for name in "ab":
        np.testing.assert_allclose(audio.read(f"{name}.wav")[0], expected.clip(-1, 1), atol=2**-15)
    assert main(["decode", "a.ecdc", "d.wav", "-m", ".", "--start", "7"]) == 0
    assert "d.wav: 5.50 s" in capsys.readouterr().out
    late = codec.decompress((folder / "a.ecdc").read_bytes(), lm=lm, start=7)
    np.testing.assert_allclose(audio.read("d.wav")[0], late.clip(-1, 1), atol=2**-15)


def test_a_plain_file_can_be_started_late_too(folder, codec, capsys):
    assert main(["encode", "in.wav", "a.ecdc", "-m", "."]) == 2
    assert main(["encode", "in.wav", "a.ecdc", "-m", ".", "-b", "0.048"]) == 0
    assert main(["decode", "a.ecdc", "a.wav", "-m", ".", "--start", "7"]) == 0
    expected = codec.decompress((folder / "a.ecdc").read_bytes(), start=7)
    assert expected.shape == (1, SAMPLES - 7 * 1200)
    np.testing.assert_allclose(audio.read("a.wav")[0], expected.clip(-1, 1), atol=2**-15)
    capsys.readouterr()
    assert main(["decode", "a.ecdc", "b.wav", "-m", ".", "--start", "13"]) == 2
    assert capsys.readouterr().err == "minicodec: a.ecdc: cannot start at 13 s; it has 12.4983 s\n"


def test_damage_on_the_command_line(folder, codec, lm, capsys):
    """One line and exit status 2; or one line, silence, and the rest."""
    main(["encode", "in.wav", "a.ecdc", "-m", ".", "-b", "0.048", "--lm"])
    data = bytearray((folder / "a.ecdc").read_bytes())
    data[-1] ^= 2
    (folder / "a.ecdc").write_bytes(data)
    capsys.readouterr()
    line = "minicodec: a.ecdc: is damaged from 10.00 to 12.50 s"
    assert main(["decode", "a.ecdc", "a.wav", "-m", "."]) == 2
    assert capsys.readouterr().err == f"{line}; --skip-damaged plays the rest\n"
    assert not (folder / "a.wav").exists()
    assert main(["decode", "a.ecdc", "a.wav", "-m", ".", "--skip-damaged"]) == 0
    assert capsys.readouterr().err == f"{line}: silence instead\n"
    wav = audio.read("a.wav")[0]
    assert wav[:, :12_000].any()
    assert not wav[:, 12_000:].any()


def test_a_missing_language_model_is_named(folder, capsys):
    main(["encode", "in.wav", "a.ecdc", "-m", ".", "-b", "0.048", "--lm"])
    (folder / "lm.safetensors").unlink()
    capsys.readouterr()
    for command in (["encode", "in.wav", "b.ecdc", "-b", "0.048", "--lm"], ["decode", "a.ecdc", "b.wav"]):
        assert main([*command, "-m", "."]) == 2
        assert capsys.readouterr().err == "minicodec: .: has no lm.safetensors; minicodec train-lm makes one\n"


def test_counting_never_makes_a_file_larger(folder, codec, capsys):
    """A second is too short to learn from; ten minutes of a hum are not."""
    wav = audio.read("in.wav")[0][:, :1200]
    soundfile.write("second.wav", wav.T, 1200, subtype="FLOAT")
    options = ["-m", ".", "-b", "0.048"]
    assert main(["encode", "second.wav", "plain.ecdc", *options]) == 0
    capsys.readouterr()
    assert main(["encode", "second.wav", "short.ECDC", *options, "--lm", "adaptive"]) == 0
    said = capsys.readouterr()
    assert said.err == "minicodec: second.wav: counting would have made its file larger, so it is without\n"
    plain = (folder / "plain.ecdc").read_bytes()
    assert (folder / "short.ECDC").read_bytes() == plain == codec.compress(wav, 0.048, lm="adaptive")
    size, header = re.search(r"(\d+) \+ (\d+) bytes", said.out).groups()
    assert int(size) + int(header) == len(plain)

    hum = 0.3 * np.sin(np.arange(720_000) * 0.1)
    soundfile.write("hum.wav", hum, 1200, subtype="FLOAT")
    assert main(["encode", "hum.wav", "long.ecdc", *options, "--lm", "adaptive"]) == 0
    assert capsys.readouterr().err == ""
    long = (folder / "long.ecdc").read_bytes()
    assert long == codec.compress(audio.read("hum.wav")[0], 0.048, lm="adaptive")
    assert main(["info", "long.ecdc", "-m", "."]) == 0
    assert facts(capsys)["predictor"].strip().startswith("adaptive")
    assert main(["info", "short.ECDC", "-m", "."]) == 0


@pytest.mark.parametrize("start", ["nan", "inf", "-0.5", "1e300"])
def test_starts_that_no_file_has(start, folder, capsys):
    for name, lm in (("a.ecdc", []), ("b.ecdc", ["--lm"])):
        assert main(["encode", "in.wav", name, "-m", ".", "-b", "0.048", *lm]) == 0
        capsys.readouterr()
        assert main(["decode", name, "out.wav", "-m", ".", f"--start={start}"]) == 2
        assert capsys.readouterr().err == f"minicodec: {name}: cannot start at {float(start):g} s; it has 12.4983 s\n"
    assert not (folder / "out.wav").exists()
