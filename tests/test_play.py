"""`minicodec play`, by programs that stand for players: they copy what they are given, fail, or go on for ever."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from minicodec import audio
from minicodec.cli import main, play

COPIES = 'cp "$2" "played-$(ls | grep -c ^played-).wav"; echo "$1" >> options'
NO_SERVER = "echo 'Connection failure: Connection refused' >&2; exit 1"
NO_DEVICE = "echo 'No more combinations to try, audio open failed' >&2; echo >&2"  # of ffplay, which then exits with 0


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two sounds, and one for temporary files, of which none may be left."""
    monkeypatch.chdir(tmp_path)
    for name in ("bin", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(play, "PLAYERS", (("first", "-q"), ("second", "-x")))
    monkeypatch.setattr(webbrowser, "get", lambda: pytest.fail("in vain"))
    for name, rate, channels in (("a.flac", 44_100, 2), ("b.wav", 24_000, 1)):
        soundfile.write(name, np.random.default_rng(rate).normal(0, 0.1, (24_000, channels)), rate)
    yield tmp_path
    assert os.listdir("temporary") == []


def player(name, script):
    path = Path("bin") / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_audio_files_become_wav_files_for_the_player(place, capsys):
    player("first", COPIES)
    assert main(["play", "a.flac", "b.wav"]) == 0
    assert capsys.readouterr() == ("a.flac\nb.wav\n", "")
    for i, name in enumerate(("a.flac", "b.wav")):
        (wav, rate), (expected, same) = audio.read(f"played-{i}.wav"), audio.read(name)
        assert rate == same
        np.testing.assert_array_equal(wav, expected)
    assert Path("options").read_text() == "-q\n-q\n"
    assert main(["play", "b.wav"]) == 0
    assert capsys.readouterr() == ("", "")


def test_an_ecdc_file_is_decoded_first(place, loud_model, capsys):
    """Whatever it is called; the sound is made quieter where it would clip."""
    player("second", COPIES)
    assert main(["encode", "a.flac", "-q", "-m", str(loud_model)]) == 0
    assert main(["decode", "a.ecdc", "decoded.wav", "-q", "-r", "-m", str(loud_model)]) == 0
    os.rename("a.ecdc", "a.bin")
    assert main(["play", "a.bin", "-q", "-m", str(loud_model)]) == 0
    np.testing.assert_array_equal(audio.read("played-0.wav")[0], audio.read("decoded.wav")[0])
    assert Path("options").read_text() == "-x\n"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("failure", [NO_SERVER, NO_DEVICE])
def test_the_next_player_is_tried(failure, place, capsys):
    player("first", failure)
    player("second", COPIES)
    assert main(["play", "b.wav"]) == 0
    assert capsys.readouterr() == ("", "")
    np.testing.assert_array_equal(audio.read("played-0.wav")[0], audio.read("b.wav")[0])


def test_when_all_fail_one_line_says_why(place, capsys):
    player("first", NO_SERVER)
    for script, reason in (("exit 3", "status 3"), (NO_DEVICE, "audio open failed")):
        player("second", script)
        assert main(["play", "a.flac", "b.wav", "-q"]) == 2
        why = f"first (Connection failure: Connection refused), nor by second ({reason})"
        assert capsys.readouterr() == ("", f"minicodec: a.flac: could not be played by {why}\n")


def test_bad_files_are_one_line(place, capsys):
    player("first", COPIES)
    Path("text.wav").write_text("no sound")
    Path("cut.ecdc").write_bytes(b"ECDC\0")
    for name, reason in [
        ("none.wav", "there is no such file"),
        ("text.wav", "cannot be read as audio (Format not recognised)"),
        ("cut.ecdc", "ends within its header"),
    ]:
        assert main(["play", name]) == 2
        assert capsys.readouterr().err == f"minicodec: {name}: {reason}\n"
    assert not list(Path().glob("played-*"))


def test_without_a_player_the_browser_opens_it(place, monkeypatch, capsys):
    """And the file stays, for as long as the browser may need it."""
    opened = []
    monkeypatch.setattr(webbrowser, "get", lambda: None)
    monkeypatch.setattr(webbrowser, "open", lambda uri: opened.append(uri) or True)
    assert main(["play", "a.flac"]) == 0
    path = Path(capsys.readouterr().out.split(": ")[0])
    assert opened == [path.as_uri()]
    np.testing.assert_array_equal(audio.read(path)[0], audio.read("a.flac")[0])
    path.unlink()
    path.parent.rmdir()


def test_without_a_player_and_a_browser(place, monkeypatch, capsys):
    """Said before anything is decoded; or after, when the browser does not open."""

    def none():
        raise webbrowser.Error

    monkeypatch.setattr(webbrowser, "get", none)
    assert main(["play", "none.wav"]) == 2
    line = "no player is installed (first, second), and no browser; minicodec decode writes a file"
    assert capsys.readouterr() == ("", f"minicodec: {line}\n")
    monkeypatch.setattr(webbrowser, "get", lambda: None)
    monkeypatch.setattr(webbrowser, "open", lambda uri: False)
    assert main(["play", "a.flac"]) == 2
    assert capsys.readouterr() == ("", "minicodec: a.flac: the browser could not be opened\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")
def test_ctrl_c_ends_the_player_and_leaves_no_file(place):
    """The terminal sends it to both."""
    player("aplay", "echo $$ > started; exec sleep 1000")
    environment = os.environ | {"PATH": "bin:/usr/bin:/bin", "TMPDIR": str(place / "temporary")}
    program = (
        "import sys; from minicodec.cli import main, play; play.PLAYERS = (('aplay',),);"
        "sys.exit(main(['play', 'b.wav', 'a.flac']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 100
    while not Path("started").exists() or not Path("started").read_text().endswith("\n"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=100)[1] == "minicodec: interrupted\n"
    assert process.returncode == 130
    while alive(int(Path("started").read_text())):  # dead, and gone as soon as init has seen it
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
