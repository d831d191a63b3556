"""The command line: what each command does to files, prints and returns. (Bad input: test_hostile_files.py.)"""

import io
import subprocess
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio
from minicodec.cli import COMMANDS, main
from minicodec.cli.info import usage
from minicodec.codec.bitstream import Chunk, Header, Layout, pack, pack_bits, read_header
from minicodec.codec.config import preset
from minicodec.codec.model import Codec


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    minicodec.build("tiny_24khz", seed=0).save(path)
    return path


@pytest.fixture(scope="module")
def loud_model(tmp_path_factory):
    """Its output lies around 1: about half of the samples clip."""
    codec = minicodec.build("tiny_24khz", seed=0)
    bias = dict(codec.decoder.named_parameters())["layers.15.bias"]
    bias.data += 1 - np.median(codec.decode(codec.encode(np.zeros((1, 12_000), np.float32), 6)))
    path = tmp_path_factory.mktemp("model") / "loud.safetensors"
    codec.save(path)
    return path


@pytest.fixture
def speech(tmp_path):
    """Half a second of stereo at 44.1 kHz: noise whose loudness comes and goes, the right channel softer."""
    rng = np.random.default_rng(0)
    wav = rng.normal(0, 0.1, (2, 22_051)) * np.sin(np.linspace(0, 20, 22_051)) * [[1.0], [0.3]]
    path = tmp_path / "speech.flac"
    soundfile.write(path, wav.T, 44_100)
    return path


def run(*argv):
    return main([str(a) for a in argv])


def test_encode_writes_what_the_model_makes_of_the_converted_audio(speech, model, tmp_path, capsys):
    out = tmp_path / "speech.ecdc"
    assert run("encode", speech, out, "-m", model) == 0
    wav, rate = audio.read(speech)
    expected = minicodec.load(model).compress(audio.resample(audio.remix(wav, 1), rate, 24_000), 6.0)
    assert out.read_bytes() == expected
    samples = round(22_051 * 24_000 / 44_100)
    header, start = read_header(expected, "x")
    assert (header.audio_length, header.codebooks) == (samples, 8)
    payload = -(-samples * 75 // 24_000) * 8 * 10 // 8
    line = (
        f"{out}: 0.50 s, {payload} + {start} bytes (payload, header), {len(expected) * 8 * 24 / samples:.2f} kbit/s\n"
    )
    captured = capsys.readouterr()
    assert captured.out == line
    assert captured.err == ""


@pytest.mark.parametrize(("kbps", "codebooks"), [("0.75", 1), ("1.5", 2), ("3", 4), ("6.0", 8)])
def test_the_bitrate_decides_how_many_codebooks(kbps, codebooks, speech, model, tmp_path):
    out = tmp_path / "o.ecdc"
    assert run("encode", speech, out, "-m", model, "-b", kbps) == 0
    assert read_header(out.read_bytes(), "x")[0].codebooks == codebooks


def test_decode_writes_what_the_model_makes_of_the_file(speech, model, tmp_path, capsys):
    packet, out = tmp_path / "a.ecdc", tmp_path / "a.wav"
    run("encode", speech, packet, "-m", model)
    capsys.readouterr()
    assert run("decode", packet, out, "-m", model) == 0
    assert capsys.readouterr() == (f"{out}: 0.50 s, 24000 Hz, 1 channel\n", "")
    expected, rate = minicodec.decompress(packet.read_bytes(), minicodec.load(model))
    written, written_rate = audio.read(out)
    assert rate == written_rate == 24_000
    assert expected.std() > 1e-4
    np.testing.assert_allclose(written, expected, rtol=0, atol=0.5001 / 32_768)


def test_force_overwrites(speech, model, tmp_path):
    packet, out = tmp_path / "a.ecdc", tmp_path / "a.wav"
    for file in (packet, out):
        file.write_bytes(b"old")
    assert run("encode", speech, packet, "-m", model, "-f") == 0
    assert run("decode", packet, out, "-m", model, "-f") == 0
    assert packet.read_bytes()[:4] == b"ECDC"
    assert out.read_bytes()[:4] == b"RIFF"


def test_what_clips_is_counted_or_made_quieter(speech, loud_model, tmp_path, capsys):
    packet, clipped, rescaled = tmp_path / "a.ecdc", tmp_path / "clipped.wav", tmp_path / "rescaled.wav"
    run("encode", speech, packet, "-m", loud_model)
    capsys.readouterr()
    wav, _ = minicodec.decompress(packet.read_bytes(), minicodec.load(loud_model))
    beyond = int((np.abs(wav) > 1).sum())
    assert 0.1 < beyond / wav.size < 0.9

    assert run("decode", packet, clipped, "-m", loud_model) == 0
    warning = f"minicodec: {clipped}: {beyond} samples were clipped; -r would make it quieter\n"
    assert capsys.readouterr().err == warning
    np.testing.assert_allclose(audio.read(clipped)[0], np.clip(wav, -1, 1), rtol=0, atol=1.0001 / 32_768)

    assert run("decode", packet, rescaled, "-m", loud_model, "-r") == 0
    assert capsys.readouterr().err == ""
    np.testing.assert_allclose(audio.read(rescaled)[0], wav / np.abs(wav).max(), rtol=0, atol=1.0001 / 32_768)


def test_rescaling_leaves_alone_what_does_not_clip(speech, model, tmp_path):
    packet, plain, rescaled = tmp_path / "a.ecdc", tmp_path / "plain.wav", tmp_path / "rescaled.wav"
    run("encode", speech, packet, "-m", model)
    run("decode", packet, plain, "-m", model)
    run("decode", packet, rescaled, "-m", model, "-r")
    assert plain.read_bytes() == rescaled.read_bytes()


def test_more_channels_than_the_model_has_are_mixed_or_refused_as_one_says(speech, model, tmp_path, capsys):
    out = tmp_path / "o.ecdc"
    assert run("encode", speech, out, "-m", model, "--no-mix") == 2
    assert capsys.readouterr() == ("", f"minicodec: {speech}: has 2 channels; the model has 1\n")
    assert not out.exists()
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, audio.read(speech)[0].mean(axis=0), 44_100, subtype="FLOAT")
    assert run("encode", mono, out, "-m", model, "--no-mix") == 0
    mixed = tmp_path / "mixed.ecdc"
    assert run("encode", speech, mixed, "-m", model) == 0
    assert mixed.read_bytes() == out.read_bytes()


def stream(direction, data, model, *options):
    command = [sys.executable, "-m", "minicodec", "stream", direction, "-m", model, *options]
    process = subprocess.run(command, input=data, capture_output=True, check=False)
    return process.returncode, process.stdout, process.stderr.decode()


@pytest.mark.parametrize(("kbps", "codebooks", "size"), [("6", 8, 10), ("1.5", 2, 3)])
def test_a_stream_from_stdin_to_stdout(kbps, codebooks, size, model):
    """9001 samples are 28.1 frames; of 2 codes, 20 bits, a frame fills 3 bytes."""
    codec = minicodec.load(model)
    pcm = (3000 * np.random.default_rng(0).normal(size=9001)).astype("<i2")
    status, codes, complaint = stream("encode", pcm.tobytes(), model, "-b", kbps)
    assert (status, complaint) == (0, "")
    line, frames = codes.split(b"\n", 1)
    assert line == f'{{"m": "{codec.name}", "nc": {codebooks}}}'.encode()
    (chunk,) = codec.encode(pcm[None].astype(np.float32) / 32_768, float(kbps))
    assert frames == b"".join(pack_bits(frame, 10) for frame in chunk.codes.T)
    assert len(frames) == 29 * size
    status, decoded, complaint = stream("decode", codes, model)
    assert (status, complaint) == (0, "")
    np.testing.assert_array_equal(np.frombuffer(decoded, "<i2"), np.rint(codec.decode([chunk])[0] * 32_768))


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


class Standard:
    """Stands for sys.stdin or sys.stdout."""

    def __init__(self, data=b""):
        self.buffer = io.BytesIO(data)

    def flush(self):
        pass


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
    monkeypatch.setattr("sys.stdin", Standard(data))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", Standard())
        assert run("stream", direction, "-m", model, *options) == 2
    complaint = capsys.readouterr().err
    assert reason in complaint
    assert complaint.count("\n") == 1


def test_a_loud_stream_is_clipped_and_counted(loud_model, capsys, monkeypatch):
    codec, out = minicodec.load(loud_model), Standard()
    codes = codec.encode(np.zeros((1, 960), np.float32), 6)[0].codes
    frames = b"".join(pack_bits(frame, 10) for frame in codes.T)
    monkeypatch.setattr("sys.stdin", Standard(f'{{"m": "{codec.name}", "nc": 8}}\n'.encode() + frames))
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", out)
        assert run("stream", "decode", "-m", loud_model) == 0
    wav = codec.decode(codec.encode(np.zeros((1, 960), np.float32), 6))[0]
    assert 0 < (wav > 1).sum() < 960
    assert capsys.readouterr().err == f"minicodec: {(np.abs(wav) > 1).sum()} samples were clipped\n"
    written = np.frombuffer(out.buffer.getvalue(), "<i2")
    np.testing.assert_array_equal(written, np.clip(np.rint(wav * 32_768), -32_768, 32_767))


def test_a_model_that_looks_ahead_cannot_stream(tmp_path, capsys):
    config = preset("tiny_24khz")
    ahead = replace(config, seanet=replace(config.seanet, causal=False))
    Codec(ahead).save(tmp_path / "m.safetensors")
    assert run("stream", "encode", "-m", tmp_path / "m.safetensors") == 2
    assert "tiny_24khz codes whole chunks, it cannot stream" in capsys.readouterr().err


def facts(capsys):
    """What `info` printed, as a dictionary."""
    lines = capsys.readouterr().out.splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


@pytest.mark.parametrize("suffix", ["ecdc", "bin"])
@pytest.mark.parametrize("name", ["tiny_24khz-0123abcd", "tiny_24khz"])
def test_info_describes_a_compressed_file_without_its_model(name, suffix, tmp_path, capsys):
    frames = np.arange(64)
    codes = np.stack([frames % 4, 1000 + 0 * frames, frames, frames // 32]).astype(np.int16)
    packet = tmp_path / f"file.{suffix}"
    packet.write_bytes(pack(Header(name, 64 * 320 - 100, 4), [Chunk(codes)], Layout(24_000, 320, 8)))
    assert run("info", packet) == 0
    header = packet.stat().st_size - 320
    assert facts(capsys) == {
        "model": name,
        "duration": "0.85 s, 20380 samples at 24000 Hz",
        "codebooks": "4 of 8, 64 frames",
        "bitrate": f"3 kbit/s nominal, {(320 + header) * 8 * 24 / 20_380:.2f} kbit/s with all bytes of the file",
        "bytes": f"320 payload, {header} header",
        "codebook 1": "4 of 1024 entries used, perplexity 4.0",
        "codebook 2": "1 of 1024 entries used, perplexity 1.0",
        "codebook 3": "64 of 1024 entries used, perplexity 64.0",
        "codebook 4": "2 of 1024 entries used, perplexity 2.0",
    }


def test_perplexity_is_two_to_the_entropy():
    # Half the codes are equal, the others are all different: H = 1/2·1 + 4/8·3 = 2 bits.
    assert usage(np.array([7, 7, 7, 7, 0, 1, 2, 3])) == (5, pytest.approx(4.0, rel=1e-12))


def test_info_needs_the_model_where_the_name_is_no_presets(speech, model, tmp_path, capsys):
    packet = tmp_path / "file.ecdc"
    codes = np.zeros((2, 1), np.int16)
    packet.write_bytes(pack(Header("somebody's", 320, 2), [Chunk(codes)], Layout(24_000, 320, 8)))
    assert run("info", packet) == 2
    assert "by the model somebody's; say with -m" in capsys.readouterr().err
    assert run("info", packet, "-m", model) == 0
    assert facts(capsys)["codebooks"] == "2 of 8, 1 frames"


def test_info_describes_audio(speech, capsys):
    assert run("info", speech) == 0
    assert facts(capsys) == {
        "format": "FLAC, PCM_16",
        "duration": "0.50 s, 22051 samples",
        "rate": "44100 Hz",
        "channels": "2",
    }


def test_info_describes_a_model_by_file_and_by_preset(model, capsys):
    codec = minicodec.load(model)
    assert run("info", model) == 0
    by_file = facts(capsys)
    sizes = [sum(p.data.size for p in part.parameters()) for part in (codec.encoder, codec.decoder)]
    assert by_file == {
        "model": codec.name,
        "parameters": f"{sum(sizes)}: encoder {sizes[0]}, decoder {sizes[1]}",
        "codebooks": "8 of 1024 entries, width 32",
        "rate": "24000 Hz, 75 frames/s of 320 samples",
        "channels": "1",
        "bitrates": "0.75, 1.5, 3, 6 kbit/s",
    }
    assert run("info", "tiny_24khz") == 0
    assert facts(capsys) == by_file  # both are untrained, with seed 0


def test_data_lists_and_refuses(capsys, tmp_path):
    assert run("data", "list") == 0
    listed = capsys.readouterr().out
    assert "\nljspeech " in listed
    assert "public domain" in listed
    assert run("data", "ljspeech") == 2
    assert "say with --out" in capsys.readouterr().err
    assert run("data", "nonsense", "--out", tmp_path) == 2
    assert capsys.readouterr().err.startswith("minicodec: nonsense: no such dataset; there are librispeech-dev-clean, ")


def test_data_fetches_and_says_where_to(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("minicodec.cli.data.fetch", lambda name, folder: folder / name)
    assert run("data", "ljspeech", "--out", tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'ljspeech'}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name, capsys):
    module = import_module(f"minicodec.cli.{name}")
    assert callable(module.run)
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: minicodec {name} ")


def test_help_names_every_command_in_a_line_and_imports_no_library(capsys):
    script = """
import sys
from minicodec.cli import main
try:
    main(["--help"])
except SystemExit as left:
    heavy = {"numpy", "numba", "scipy", "soundfile", "rich", "matplotlib"} & set(sys.modules)
    sys.exit(left.code or (f"imported {heavy}" if heavy else 0))
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in process.stdout.splitlines()]
    for name, summary in COMMANDS.items():
        assert f"{name} {summary}" in lines
    assert "example:" in lines


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND; minicodec --help says more"),
        (["sing"], "invalid choice: 'sing'"),
        (["encode", "a.wav"], "the following arguments are required: OUT.ecdc; minicodec encode --help says more"),
        (["encode", "a.wav", "a.ecdc", "-b", "much"], "argument -b/--bitrate: invalid float value: 'much'"),
        (["decode", "a.ecdc", "a.wav", "--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(argv, message, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("minicodec: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_an_interruption_is_status_130(monkeypatch, capsys, speech):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("minicodec.cli.info.run", interrupt)
    assert run("info", speech) == 130
    assert capsys.readouterr() == ("", "minicodec: interrupted\n")


def test_the_package_is_a_command():
    process = subprocess.run([sys.executable, "-m", "minicodec", "--version"], capture_output=True, check=False)
    assert (process.returncode, process.stdout.decode().split()) == (0, ["minicodec", minicodec.__version__])


def test_a_reader_who_leaves_is_no_error(tmp_path):
    command = [sys.executable, "-m", "minicodec", "data", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (141, b"")


def test_a_full_disk_behind_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "minicodec", "data", "list"]
        process = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert process.returncode == 2
    assert process.stderr == b"minicodec: [Errno 28] No space left on device\n"
