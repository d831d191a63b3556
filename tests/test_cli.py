"""The command line: what each command does to files, prints and returns. (Bad input: test_hostile_files.py.)"""

import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec import audio
from minicodec.cli import COMMANDS, main
from minicodec.cli.info import usage
from minicodec.codec.files.bitstream import Chunk, Header, Layout, pack, read_header


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
    conversion = "2 channels at 44100 Hz became 1 channel at 24000 Hz, as the model needs it"
    assert captured.err == f"minicodec: {speech}: {conversion}\n"


@pytest.mark.parametrize(("kbps", "codebooks"), [("0.75", 1), ("1.5", 2), ("3", 4), ("6.0", 8)])
def test_the_bitrate_decides_how_many_codebooks(kbps, codebooks, speech, model, tmp_path):
    out = tmp_path / "o.ecdc"
    assert run("encode", speech, out, "-m", model, "-b", kbps) == 0
    assert read_header(out.read_bytes(), "x")[0].codebooks == codebooks


def test_a_beam_decides_how_many_choices_are_followed(speech, tmp_path, capsys):
    """The bundled model was made with 8."""
    codec, found = minicodec.load(), {}
    wav, rate = audio.read(speech)
    wav = audio.resample(audio.remix(wav, 1), rate, 24_000)
    for beam, options in {8: (), 1: ("--beam", 1)}.items():
        out = tmp_path / f"{beam}.ecdc"
        assert run("encode", speech, out, *options) == 0
        codec.quantizer.beam = beam
        found[beam] = codec.compress(wav, 6.0)
        assert out.read_bytes() == found[beam]
    assert found[1] != found[8]
    capsys.readouterr()
    assert run("encode", speech, tmp_path / "65.ecdc", "--beam", 65) == 2
    assert capsys.readouterr() == ("", "minicodec: --beam: should be 1 … 64, not 65\n")


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
    assert facts(capsys)["codebooks"] == "2 of 8, 1 frame"


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
    assert run("info", "transform_24khz") == 0
    assert facts(capsys)["codebooks"] == "8 of 1024 entries, width 64, beam of 8"


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
    module = import_module(f"minicodec.cli.{name.replace('-', '_')}")
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
    assert "examples:" in lines


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND; minicodec --help says more"),
        (["sing"], "sing: no such command; minicodec --help lists them"),
        (["encdoe"], "encdoe: no such command; did you mean encode?"),
        (["help", "encdoe"], "encdoe: no such command; did you mean encode?"),
        (["encode"], "the following arguments are required: IN; minicodec encode --help says more"),
        (["encode", "a.wav", "a.ecdc", "-b", "much"], "argument -b/--bitrate: invalid float value: 'much'"),
        (["decode", "a.ecdc", "a.wav", "--loud"], "unrecognized arguments: --loud; minicodec decode --help says more"),
        (["decode", "a.ecdc", "--rescael"], "unrecognized arguments: --rescael; did you mean --rescale?"),
        (["encode", "a.wav", "-m", "encodec_24kz"], "encodec_24kz: no such model; did you mean encodec_24khz?"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(argv, message, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("minicodec: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("argv", [["help"], ["help", "encode"], ["help", "train-lm"]])
def test_help_is_a_command(argv, capsys):
    texts = []
    for words in (argv, [*argv[1:], "--help"]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].startswith(" ".join(["usage: minicodec", *argv[1:]]))


def test_an_interruption_is_status_130(monkeypatch, capsys, speech):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("minicodec.cli.info.run", interrupt)
    assert run("info", speech) == 130
    assert capsys.readouterr() == ("", "minicodec: interrupted\n")


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_package_is_a_command(option):
    process = subprocess.run([sys.executable, "-m", "minicodec", option], capture_output=True, check=False)
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
