"""The demo, with a model that trains in seconds: what it prints is what it wrote."""

import re

import numpy as np
import pytest

import minicodec
from minicodec import audio
from minicodec.cli import demo, main
from minicodec.metrics import si_sdr
from tests.small_run import SETTINGS


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(demo, "SETTINGS", tuple(SETTINGS))
    monkeypatch.setattr(demo, "QUANTIZED_STEPS", 8)


def test_the_table_tells_the_truth(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--steps", "12", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines() if line.endswith(".ecdc")]
    assert [float(row[0]) for row in rows] == [0.3, 0.6]
    original, rate = audio.read(out / "original.wav")
    assert original.shape == (1, 4 * rate)
    codec = minicodec.load(out / "model.safetensors")
    for row in rows:
        packet = (tmp_path / row[4]).read_bytes()
        header = len(re.match(rb"ECDC.{5}\{.*?\}", packet, re.DOTALL).group())
        assert float(row[1]) == round((len(packet) - header) * 8 / 1000 / 4, 2) == float(row[0])
        decoded, _ = minicodec.decompress(packet, codec)
        assert float(row[2]) == pytest.approx(float(si_sdr(original, decoded)[0]), abs=0.2)
        written, _ = audio.read((tmp_path / row[4]).with_suffix(".wav"))
        np.testing.assert_allclose(written, np.clip(decoded, -1, 1), rtol=0, atol=2**-15)
    assert (out / "demo.png").read_bytes().startswith(b"\x89PNG")
    for line in re.findall(r"minicodec (\w+) ", text):
        assert line in ("encode", "decode", "train")


def test_it_replaces_its_own_files_and_no_others(tmp_path, capsys):
    (tmp_path / "decoded_0.3kbps.wav").write_bytes(b"of an earlier demo")
    (tmp_path / "thesis.txt").write_text("precious")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "holds files that are not the demo's (thesis.txt)" in capsys.readouterr().err
    (tmp_path / "thesis.txt").unlink()
    assert main(["demo", "--steps", "12", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "decoded_0.3kbps.wav").read_bytes().startswith(b"RIFF")


def test_too_few_steps(tmp_path, capsys):
    assert main(["demo", "--steps", "8", "--out", str(tmp_path / "x")]) == 2
    assert "--steps 8: the demo needs more than 8" in capsys.readouterr().err
