"""Several files at once, names that nobody gave, standard input and output, to the codec and back."""

import errno
import io
import os
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio
from minicodec.cli import decode, encode, main
from minicodec.cli.places import jobs


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to be in, with short sounds in it and below."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    os.makedirs("music/deep")
    for name in ("a.wav", "b.flac", "music/c.wav", "music/deep/d.wav", "music/deep/a.wav"):
        soundfile.write(name, rng.normal(0, 0.1, 2000), 24_000)
    (tmp_path / "music" / "notes.txt").write_text("no sound")
    return tmp_path


def found(kind, *paths, output=None):
    return [(str(job.source), str(job.target)) for job in jobs(paths, output, kind)]


def test_encode_finds_what_becomes_what(place):
    os.makedirs("out")
    assert found(encode.KIND, "a.wav") == [("a.wav", "a.ecdc")]
    assert found(encode.KIND, "a.wav", "x.ecdc") == [("a.wav", "x.ecdc")]
    assert found(encode.KIND, "a.wav", "X.ECDC") == [("a.wav", "X.ECDC")]
    assert found(encode.KIND, "a.wav", "new.wav") == [("a.wav", "new.wav")]
    # What is there already is an input, even of two: the shell may have written *.wav.
    assert found(encode.KIND, "a.wav", "music/c.wav") == [("a.wav", "a.ecdc"), ("music/c.wav", "music/c.ecdc")]
    assert found(encode.KIND, "a.wav", output="music/c.wav") == [("a.wav", "music/c.wav")]
    assert found(encode.KIND, "a.wav", "b.flac", "out") == [("a.wav", "out/a.ecdc"), ("b.flac", "out/b.ecdc")]
    assert found(encode.KIND, "a.wav", "fresh/") == [("a.wav", "fresh/a.ecdc")]
    deep = [("c.wav", "c.ecdc"), ("deep/a.wav", "deep/a.ecdc"), ("deep/d.wav", "deep/d.ecdc")]
    assert found(encode.KIND, "music") == [(f"music/{a}", f"music/{b}") for a, b in deep]
    assert found(encode.KIND, "music", "out") == [(f"music/{a}", f"out/{b}") for a, b in deep]
    assert found(encode.KIND, "-") == [("-", "-")]
    assert found(encode.KIND, "-", "x.ecdc") == [("-", "x.ecdc")]
    assert found(encode.KIND, "a.wav", "-") == [("a.wav", "-")]


def test_decode_finds_what_becomes_what(place):
    os.makedirs("packets")
    for name in ("a.ecdc", "b.ecdc", "packets/c.ECDC"):
        (place / name).write_bytes(b"")
    assert found(decode.KIND, "a.ecdc") == [("a.ecdc", "a_decompressed.wav")]
    assert found(decode.KIND, "a.ecdc", "a.wav") == [("a.ecdc", "a.wav")]
    assert found(decode.KIND, "a.ecdc", "b.ecdc", "music") == [
        ("a.ecdc", "music/a_decompressed.wav"),
        ("b.ecdc", "music/b_decompressed.wav"),
    ]
    assert found(decode.KIND, "packets") == [("packets/c.ECDC", "packets/c_decompressed.wav")]
    assert found(decode.KIND, "-", "-") == [("-", "-")]


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (["a.wav", "b.flac", "x.ecdc"], "x.ecdc: is no folder, and 2 files go into a folder: write x.ecdc/"),
        (["a.wav", "music/deep/a.wav", "out/"], "out/a.ecdc: both a.wav and music/deep/a.wav would be written there"),
        (["a.wav", "x.ogg"], "x.ogg: .ecdc or .wav or .flac is what the name of the output ends with"),
        (["empty"], "empty: is a folder without audio files"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_nothing_is_written(paths, reason, place, model, capsys):
    os.makedirs("empty")
    before = sorted(p for p in place.rglob("*") if p.is_file())
    assert main(["encode", *paths, "-m", str(model)]) == 2
    assert capsys.readouterr() == ("", f"minicodec: {reason}\n")
    assert sorted(p for p in place.rglob("*") if p.is_file()) == before


def test_one_bad_file_of_several_is_told_and_the_others_are_encoded(place, model, capsys):
    (place / "bad.wav").write_bytes(b"This is a text.\n" * 20)
    soundfile.write("loud.wav", np.array([0.1, 150.0]), 24_000, subtype="FLOAT")
    (place / "out").mkdir()
    (place / "out" / "b.ecdc").write_bytes(b"precious")
    assert main(["encode", "bad.wav", "loud.wav", "a.wav", "b.flac", "music", "out", "-m", str(model)]) == 2
    captured = capsys.readouterr()
    assert sorted(captured.err.splitlines()) == [
        "minicodec: 3 of 7 files failed",
        "minicodec: bad.wav: cannot be read as audio (Format not recognised)",
        "minicodec: loud.wav: has samples up to 150, where audio lies within -1 … 1",
        "minicodec: out/b.ecdc: the file exists already and is not overwritten",
    ]
    codec = minicodec.load(model)
    for source, target in (("a.wav", "out/a.ecdc"), ("music/deep/d.wav", "out/deep/d.ecdc")):
        assert (place / target).read_bytes() == codec.compress(audio.read(source)[0], 6)
    assert (place / "out" / "b.ecdc").read_bytes() == b"precious"
    assert [line.split(":")[0] for line in captured.out.splitlines()] == [
        "out/a.ecdc",
        "out/c.ecdc",
        "out/deep/a.ecdc",
        "out/deep/d.ecdc",
    ]
    assert main(["decode", "out/a.ecdc", "out/c.ecdc", "bad.wav", "out", "-m", str(model)]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1] == "minicodec: 1 of 3 files failed"
    assert audio.read("out/c_decompressed.wav")[0].shape == (1, 2000)


def test_a_file_that_fills_the_temporary_folder_is_told_and_the_others_are_encoded(place, model, capsys, monkeypatch):
    class Small(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > 500:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr("tempfile.TemporaryFile", Small)
    soundfile.write("long.wav", np.zeros(24_000), 24_000)
    reason = f"minicodec: long.wav: {tempfile.gettempdir()} or stdout: No space left on device\n"
    assert main(["encode", "long.wav", "a.wav", "out/", "-m", str(model)]) == 2
    captured = capsys.readouterr()
    assert captured.err == reason + "minicodec: 1 of 2 files failed\n"
    assert captured.out.startswith("out/a.ecdc: ")
    assert os.listdir("out") == ["a.ecdc"]
    assert main(["encode", "long.wav", "-m", str(model)]) == 2
    assert capsys.readouterr() == ("", reason)


def test_a_reader_who_leaves_ends_it_all(place, model, capsys, monkeypatch):
    def gone(*args, **options):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("minicodec.cli.encode.encode_one", gone)
    assert main(["encode", "a.wav", "b.flac", "out/", "-m", str(model)]) == 141
    assert capsys.readouterr() == ("", "")


def test_options_may_stand_between_the_names(place, model):
    assert main(["encode", "a.wav", "-m", str(model), "x.ecdc", "-b", "3"]) == 0
    assert main(["encode", "a.wav", "y.ecdc", "-m", str(model), "-b", "3"]) == 0
    assert (place / "x.ecdc").read_bytes() == (place / "y.ecdc").read_bytes()


def test_to_the_codec_and_back_in_one_go(place, model, capsys):
    assert main(["encode", "a.wav", "a.ecdc", "-m", str(model), "-b", "1.5"]) == 0
    assert main(["decode", "a.ecdc", "two.wav", "-m", str(model)]) == 0
    assert main(["encode", "a.wav", "one.wav", "-m", str(model), "-b", "1.5"]) == 0
    assert (place / "one.wav").read_bytes() == (place / "two.wav").read_bytes()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == lines[0].replace("a.ecdc", "one.wav")
    assert main(["encode", "a.wav", "lm.flac", "-m", str(model), "-b", "1.5", "--lm", "adaptive"]) == 0
    np.testing.assert_array_equal(audio.read("lm.flac")[0], audio.read("two.wav")[0])


def test_the_language_model_option_never_takes_an_inputs_name(place, model, capsys):
    for words in (["--lm", "a.wav", "x.ecdc"], ["a.wav", "--lm", "x.ecdc"], ["--lm", "music", "out/"]):
        assert main(["encode", *words, "-m", str(model)]) == 2
        missing = f"minicodec: {model.parent}: has no lm.safetensors; minicodec train-lm makes one\n"
        assert capsys.readouterr().err == missing
    assert main(["encode", "--lm", "adaptive", "a.wav", "x.ecdc", "-m", str(model)]) == 0
    assert main(["encode", "--lm", "none.safetensors", "a.wav", "y.ecdc", "-m", str(model)]) == 2
    assert "none.safetensors" in capsys.readouterr().err


def command(*argv, **options):
    words = [sys.executable, "-m", "minicodec", *map(str, argv)]
    return subprocess.run(words, capture_output=True, check=False, **options)


def test_standard_input_and_output(place, model):
    """A WAV file whose writer did not know its length, as of ffmpeg in a pipe; results are told on stderr."""
    content = bytearray((place / "a.wav").read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    encoded = command("encode", "-", "-m", model, "-b", "3", input=bytes(content))
    assert encoded.returncode == 0
    wav = audio.read("a.wav")[0]
    codec = minicodec.load(model)
    assert encoded.stdout == codec.compress(wav, 3)
    assert encoded.stderr.decode().startswith("-: 0.08 s, ")
    decoded = command("decode", "-", "-m", model, input=encoded.stdout)
    assert decoded.returncode == 0
    sound, rate = soundfile.read(io.BytesIO(decoded.stdout))
    assert rate == 24_000
    np.testing.assert_allclose(sound, codec.decompress(encoded.stdout)[0], atol=2**-15)


def test_standard_input_that_is_no_sound(place, model, capsysbinary, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"no sound")))
    assert main(["encode", "-", "-m", str(model)]) == 2
    refusal = b"minicodec: stdin: cannot be read as audio (Format not recognised)\n"
    assert capsysbinary.readouterr() == (b"", refusal)


@pytest.mark.parametrize("stdin", [None, SimpleNamespace(closed=True)])
@pytest.mark.parametrize("words", [["encode", "-", "o.ecdc"], ["decode", "-", "o.wav"], ["stream", "encode"]])
def test_a_closed_standard_input_is_one_line(words, stdin, place, model, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", stdin)
    assert main([*words, "-m", str(model)]) == 2
    assert capsys.readouterr() == ("", "minicodec: stdin: is closed\n")
    assert not list(place.glob("o.*"))


def test_a_quiet_decoder_says_nothing(place, model, capsysbinary, monkeypatch):
    packet = minicodec.load(model).compress(audio.read("a.wav")[0], 3)
    sounds = []
    for options, said in ([], b"-: 0.08 s"), (["-q"], b""):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(packet)))
        assert main(["decode", "-", "-m", str(model), *options]) == 0
        out, err = capsysbinary.readouterr()
        assert err[: len(said)] == said
        assert bool(err) == bool(said)
        sounds.append(out)
    assert sounds[0] == sounds[1] != b""


def test_nothing_binary_goes_to_a_terminal(place, model, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["encode", "a.wav", "-", "-m", str(model)]) == 2
    assert capsys.readouterr().err.startswith("minicodec: standard output is a terminal: ")


def test_quiet_and_verbose(place, model, capsys):
    assert main(["encode", "a.wav", "a.ecdc", "-q", "-m", str(model)]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["encode", "a.wav", "b.ecdc", "-v", "-m", str(model)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith(f"minicodec: a.wav: {minicodec.load(model).name}, 6 kbit/s; ")
    assert main(["decode", "a.ecdc", "-q", "-m", str(model)]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["decode", "a.ecdc", "x.wav", "-v", "-m", str(model)]) == 0
    assert "s of audio/s" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_names_that_are_no_utf8_work(place, model):
    name = os.fsdecode(b"gr\xfc\xdfe.wav")
    os.rename("a.wav", name)
    done = command("encode", name, "-m", model, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"gr\\udcfc\\udcdfe.ecdc: ")
    assert b"gr\xfc\xdfe.ecdc" in os.listdir(b".")


def test_a_folder_that_cannot_be_written_is_named_before_the_model_is_loaded(place, capsys, monkeypatch):
    """Root may write anywhere but in /proc."""
    monkeypatch.setattr("minicodec.load", lambda *args: pytest.fail("in vain"), raising=False)
    assert main(["encode", "a.wav", "/proc/a.ecdc"]) == 2
    assert capsys.readouterr().err.startswith("minicodec: /proc/a.ecdc: cannot be written (")


def test_a_disk_without_room_for_the_sound_is_named_before_the_work(place, model, capsys, monkeypatch):
    assert main(["encode", "a.wav", "-q", "-m", str(model)]) == 0
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3999))
    monkeypatch.setattr("minicodec.codec.model.Codec.stream_decoder", lambda *args: pytest.fail("in vain"))
    assert main(["decode", "a.ecdc", "-m", str(model)]) == 2
    assert capsys.readouterr().err == "minicodec: a_decompressed.wav: needs 4000 bytes; the disk has 3999 left\n"
