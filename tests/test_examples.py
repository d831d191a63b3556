"""The examples of the book run as they stand, and leave behind what they say."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio
from minicodec.errors import InputError
from minicodec.files import data_folder

EXAMPLES = Path(__file__).parents[1] / "chapters" / "book" / "examples"


def run(name, folder):
    """What the script prints when it is run in a folder."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name)]
    process = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_all_are_tested():
    assert {path.name for path in EXAMPLES.iterdir()} == {
        *("1_encode_decode.py", "2_tokens.py", "3_microphone.py", "4_own_op.py", "5_own_preset.py", "6_own_loss.py"),
        "7_delay_pattern.py",
    }


def test_encode_decode(tmp_path):
    out = run("1_encode_decode.py", tmp_path)
    packet = (tmp_path / "speech.ecdc").read_bytes()
    original, rate = soundfile.read(data_folder() / "speech_en_1.flac", dtype="float32")
    assert packet == minicodec.load().compress(original[None], kbps=6)
    assert f": {len(packet)} bytes, " in out
    decoded, decoded_rate = soundfile.read(tmp_path / "speech_decoded.wav")
    assert (len(decoded), decoded_rate) == (len(original), rate)


def test_tokens(tmp_path):
    """What comes back is the beginning of each clip."""
    assert run("2_tokens.py", tmp_path) == "3 clips of 75 frames, 2 codes each: 150 tokens out of 2048\n"
    codec = minicodec.load()
    for n in (1, 2, 3):
        clip = soundfile.read(data_folder() / f"speech_en_{n}.flac", frames=24_000, dtype="float32")[0][None]
        expected = codec.decode(codec.encode(clip, 1.5).codes[:, :40])
        heard = soundfile.read(tmp_path / f"tokens_{n}.wav", dtype="float32")[0][None]
        np.testing.assert_allclose(heard, np.clip(expected, -1, 1), atol=2**-14)


def test_microphone(tmp_path):
    assert run("3_microphone.py", tmp_path) == "150 frames of 8 codes, one each 13.3 ms\n"
    assert soundfile.info(tmp_path / "heard.wav").frames == 48_000


def test_own_op(tmp_path):
    assert run("4_own_op.py", tmp_path).startswith("the gradients are right\nda = [")


@pytest.mark.thorough
def test_own_preset(tmp_path):
    run("5_own_preset.py", tmp_path)
    codec = minicodec.load(tmp_path / "runs/small")
    assert (codec.config.name, codec.sample_rate, codec.frame_rate) == ("small_16khz", 16_000, 50)
    assert soundfile.info(tmp_path / "small.wav").samplerate == 16_000


@pytest.mark.thorough
def test_own_loss(tmp_path):
    out = run("6_own_loss.py", tmp_path)
    assert out.endswith(f"Run({Path('runs/loudness')}: tiny_24khz, step 4 of 4)\n")
    log = (tmp_path / "runs/loudness/log.jsonl").read_text()
    assert '"share.loudness"' in log


@pytest.mark.thorough
def test_delay_pattern(tmp_path):
    """The last rows are those of the last clip's codes."""
    lines = run("7_delay_pattern.py", tmp_path).splitlines()
    clips = sorted(path.name for path in data_folder().glob("*.flac"))
    assert [line.split(":")[0] for line in lines[1:-5]] == clips
    codes = minicodec.load().encode(audio.read(data_folder() / clips[-1])[0], 3).codes
    steps = np.array([[int(n) for n in re.findall(r"\d+", line)] for line in lines[-5:]])
    expected = [[codes[q, t - q - 1] if t > q else 1024 for q in range(4)] for t in range(5)]
    np.testing.assert_array_equal(steps, expected)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('name = "x"\n', "sample_rate, channels, bandwidths missing"),
        ("name = \n", r"is no TOML \("),
        (None, r"cannot be read \(No such file or directory\)"),
    ],
)
def test_a_preset_that_is_none(text, reason, tmp_path, capsys):
    if text is not None:
        (tmp_path / "my.toml").write_text(text)
    with pytest.raises(InputError, match=rf"^{tmp_path}/my\.toml: {reason}"):
        minicodec.build(f"{tmp_path}/my.toml")
