"""`minicodec stream`: audio in, frames of codes out, and back, as they come."""

import io
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec.cli import main
from minicodec.codec.config import preset
from minicodec.codec.files.bitstream import pack_bits
from minicodec.codec.model import Codec


def run(*argv):
    return main([str(a) for a in argv])


class Standard:
    """Stands for sys.stdin or sys.stdout."""

    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)

    def flush(self):
        pass


def stream(direction, data, model, monkeypatch, *options):
    """Exit status and what came out."""
    out = Standard()
    monkeypatch.setattr("sys.stdin", Standard(data))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        return run("stream", direction, "-m", model, *options), out.buffer.getvalue()


@pytest.mark.parametrize(("kbps", "codebooks", "size"), [("6", 8, 10), ("1.5", 2, 3)])
def test_a_stream_from_stdin_to_stdout(kbps, codebooks, size, model, monkeypatch, capsys):
    """9001 samples are 28.1 frames; of 2 codes, 20 bits, a frame fills 3 bytes."""
    codec = minicodec.load(model)
    pcm = (3000 * np.random.default_rng(0).normal(size=9001)).astype("<i2")
    status, codes = stream("encode", pcm.tobytes(), model, monkeypatch, "-b", kbps)
    assert status == 0
    line, frames = codes.split(b"\n", 1)
    assert line == f'{{"m": "{codec.name}", "nc": {codebooks}}}'.encode()
    (chunk,) = codec.encode(pcm[None].astype(np.float32) / 32_768, float(kbps))
    assert frames == b"".join(pack_bits(frame, 10) for frame in chunk.codes.T)
    assert len(frames) == 29 * size
    status, decoded = stream("decode", codes, model, monkeypatch)
    assert (status, capsys.readouterr().err) == (0, "")
    np.testing.assert_array_equal(np.frombuffer(decoded, "<i2"), np.rint(codec.decode([chunk])[0] * 32_768))


def test_a_stream_follows_a_beam(monkeypatch):
    """The bundled model was made with 8."""
    codec = minicodec.load()
    pcm = (3000 * np.random.default_rng(0).normal(size=3200)).astype("<i2")
    sent = [stream("encode", pcm.tobytes(), "minicodec-24k", monkeypatch, *more)[1] for more in ((), ("--beam", "1"))]
    codec.quantizer.beam = 1
    (chunk,) = codec.encode(pcm[None].astype(np.float32) / 32_768, 6.0)
    assert sent[1].split(b"\n", 1)[1] == b"".join(pack_bits(frame, 10) for frame in chunk.codes.T)
    assert sent[0] != sent[1]


def test_a_stream_sends_each_frame_at_once(model):
    """The code of a frame can be read while the encoder waits for more, and its samples while the decoder does."""
    codec = minicodec.load(model)
    pcm = (3000 * np.random.default_rng(0).normal(size=960)).astype("<i2")
    codes = codec.encode(pcm[None].astype(np.float32) / 32_768, 6)[0].codes
    wav = codec.decode(codec.encode(pcm[None].astype(np.float32) / 32_768, 6))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    command = [sys.executable, "-m", "minicodec", "stream"]
    with (
        subprocess.Popen([*command, "encode", "-m", model], **pipes) as encoder,
        subprocess.Popen([*command, "decode", "-m", model], **pipes) as decoder,
    ):
        decoder.stdin.write(encoder.stdout.readline())
        for t in range(3):
            encoder.stdin.write(pcm[320 * t : 320 * (t + 1)].tobytes())
            frame = encoder.stdout.read(10)
            assert frame == pack_bits(codes[:, t], 10)
            decoder.stdin.write(frame)
            samples = b""
            while len(samples) < 640:
                samples += decoder.stdout.read(640 - len(samples))
            expected = np.rint(wav[0, 320 * t : 320 * (t + 1)] * 32_768)
            np.testing.assert_array_equal(np.frombuffer(samples, "<i2"), expected)
        encoder.stdin.close()
        decoder.stdin.close()
        assert (encoder.stdout.read(), decoder.stdout.read()) == (b"", b"")
    assert (encoder.returncode, decoder.returncode) == (0, 0)


@pytest.mark.parametrize(
    ("direction", "data", "options", "reason"),
    [
        ("encode", b"abc", [], "stdin: ends within a sample"),
        ("encode", b"", ["-b", "7"], "has no bitrate of 7 kbit/s; choose from 0.75, 1.5, 3, 6"),
        ("decode", b"", [], "stdin: does not begin as minicodec stream encode does"),
        ("decode", b"\xff\n", [], "stdin: does not begin"),
        ("decode", b"[" * 5000, [], "stdin: does not begin"),
        ("decode", b"[]\n", [], "stdin: does not begin"),
        ("decode", b'{"m": "other", "nc": 8}\n', [], "stdin: was encoded by the model other; this one is tiny_24khz-"),
        ("decode", b'{"m": NAME, "nc": 9}\n', [], "stdin: claims 9 codebooks; the model has 8"),
        ("decode", b'{"m": NAME, "nc": true}\n', [], "stdin: claims True codebooks"),
        ("decode", b'{"m": NAME, "nc": 8}\nfour', [], "stdin: ends within a frame"),
    ],
)
def test_bad_streams_are_refused(direction, data, options, reason, model, capsys, monkeypatch):
    data = data.replace(b"NAME", f'"{minicodec.load(model).name}"'.encode())
    assert stream(direction, data, model, monkeypatch, *options)[0] == 2
    complaint = capsys.readouterr().err
    assert reason in complaint
    assert complaint.count("\n") == 1


def wav_file(pcm, *, rate=24_000, channels=1, subtype="PCM_16", form="WAV"):
    file = io.BytesIO()
    soundfile.write(file, pcm.reshape(-1, channels), rate, subtype=subtype, format=form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("promised", [None, 0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_file_is_its_samples(form, promised, model, monkeypatch):
    pcm = (3000 * np.random.default_rng(0).normal(size=9001)).astype("<i2")
    data = wav_file(pcm, form=form)
    at = data.index(b"data") + 4
    if promised is None:
        data += b"LIST\x04\0\0\0INFO"  # what stands behind the sound is no sound
    else:
        data = data[:at] + struct.pack("<I", promised) + data[at + 4 :]
    data = data[:12] + b"junk\x03\0\0\0abc\0" + data[12:]
    assert stream("encode", data, model, monkeypatch) == stream("encode", pcm.tobytes(), model, monkeypatch)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            wav_file(np.zeros(100), rate=48_000),
            "is a WAV file of 16 bit, 1 channel, 48000 Hz; the model takes 16 bit PCM",
        ),
        (wav_file(np.zeros(100), channels=2), "is a WAV file of 16 bit, 2 channels, 24000 Hz"),
        (wav_file(np.zeros(100), subtype="PCM_24"), "is a WAV file of 24 bit"),
        (wav_file(np.zeros(100), subtype="FLOAT"), "is a WAV file of 32 bit"),
        (wav_file(np.zeros(100), subtype="ULAW"), "is a WAV file of 8 bit"),
        (wav_file(np.zeros(100))[:30], "is a WAV file that cannot be read (it has no sound)"),
        (b"RIFF1234AVI ", "is a WAV file that cannot be read (it does not go on as one)"),
        (b"RIFF1234WAVEdata1234", "it does not say what its samples are"),
        (b"RIFF1234WAVELIST\xff\xff\xff\xff", "it has 4294967295 bytes before its sound"),
        (wav_file(np.zeros(100), form="FLAC"), "is a FLAC file, and stream takes samples"),
        (wav_file(np.zeros(100), form="AIFF"), "is an AIFF file"),
        (wav_file(np.zeros(100), form="OGG", subtype="VORBIS"), "is an Ogg file"),
    ],
)
def test_no_header_is_coded_as_sound(data, reason, model, monkeypatch, capsys):
    status, _ = stream("encode", data, model, monkeypatch)
    complaint = capsys.readouterr().err
    assert status == 2
    assert complaint.startswith("minicodec: stdin: ")
    assert reason in complaint
    assert complaint.count("\n") == 1


def test_a_loud_stream_is_clipped_and_counted(loud_model, capsys, monkeypatch):
    codec = minicodec.load(loud_model)
    codes = codec.encode(np.zeros((1, 960), np.float32), 6)[0].codes
    frames = b"".join(pack_bits(frame, 10) for frame in codes.T)
    data = f'{{"m": "{codec.name}", "nc": 8}}\n'.encode() + frames
    status, out = stream("decode", data, loud_model, monkeypatch)
    assert status == 0
    wav = codec.decode(codec.encode(np.zeros((1, 960), np.float32), 6))[0]
    assert 0 < (wav > 1).sum() < 960
    assert capsys.readouterr().err == f"minicodec: {(np.abs(wav) > 1).sum()} samples were clipped\n"
    written = np.frombuffer(out, "<i2")
    np.testing.assert_array_equal(written, np.clip(np.rint(wav * 32_768), -32_768, 32_767))


def test_a_model_that_looks_ahead_cannot_stream(tmp_path, capsys):
    config = preset("tiny_24khz")
    ahead = replace(config, seanet=replace(config.seanet, causal=False))
    Codec(ahead).save(tmp_path / "m.safetensors")
    assert run("stream", "encode", "-m", tmp_path / "m.safetensors") == 2
    assert "tiny_24khz codes whole chunks, it cannot stream" in capsys.readouterr().err
