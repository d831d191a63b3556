"""Encoding and decoding on the GPU: the codes and the sound of the CPU."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import minicodec
from minicodec.cli import main
from minicodec.codec.config import QuantizerConfig, from_dict, preset
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.model import Codec
from tests import pretend_gpu


def sound(channels=1, T=3000):
    t = np.arange(T) / 24_000
    wav = 0.1 * np.sin(2 * np.pi * np.outer([440, 1000, 3000], t)).sum(axis=0) * [[1.0], [0.5]]
    return (wav[:channels] + 0.01 * np.random.default_rng(0).normal(size=(channels, T))).astype(np.float32)


def stereo():
    """As the 48 kHz model: chunks that overlap and have a level, a norm that looks ahead; but small."""
    values = json.loads(json.dumps(preset("encodec_48khz").to_dict()))
    values["seanet"] |= {"filters": 2, "latent": 8}
    return Codec(from_dict(values, "small"))


def beam():
    """Follows several choices of codewords."""
    codec = minicodec.build("tiny_24khz")
    return Codec(replace(codec.config, quantizer=QuantizerConfig(beam=4)))


@pytest.mark.parametrize("build", [lambda: minicodec.build("tiny_24khz"), stereo, beam], ids=["24khz", "48khz", "beam"])
def test_same_codes_and_sound(build, gpu):
    here, there = build(), build().to("gpu")
    wav = sound(here.channels)
    chunks, chunks_there = here.encode(wav), there.encode(wav)
    for a, b in zip(chunks, chunks_there, strict=True):
        assert (b.codes.dtype, b.codes.shape) == (np.int16, a.codes.shape)
        assert (a.codes == b.codes).mean() > 0.99  # codewords that are equally near
        assert a.scale == b.scale
    decoded = here.decode(chunks, wav.shape[1])
    np.testing.assert_allclose(there.decode(chunks, wav.shape[1]), decoded, atol=1e-5 * np.abs(decoded).max())
    assert there.name == here.name
    np.testing.assert_array_equal(there.to("cpu").decode(chunks, wav.shape[1]), decoded)


def test_noise_is_that_of_the_frame(gpu):
    """Decoded from frame 1000 on, as behind a damaged chunk."""
    config = preset("transform_24khz")
    config = replace(config, transform=replace(config.transform, encoder=(1,), decoder=(1,)))
    here, there = Codec(config), Codec(config).to("gpu")
    codes = [Chunk(np.random.default_rng(0).integers(0, 1024, (8, 20)).astype(np.int16))]
    for start in (0, 1000):
        expected = np.concatenate(list(here.decode_blocks(codes, start)), axis=1)
        found = np.concatenate(list(there.decode_blocks(codes, start)), axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_command_line(model, tmp_path, gpu, capsys):
    soundfile.write(tmp_path / "in.wav", sound()[0], 24_000)
    for device in ("cpu", "gpu"):
        files = {name: str(tmp_path / f"{device}.{name}") for name in ("ecdc", "wav")}
        common = ["-m", str(model), "--device", device]
        assert main(["encode", str(tmp_path / "in.wav"), files["ecdc"], *common]) == 0, capsys.readouterr().err
        assert main(["decode", str(tmp_path / "cpu.ecdc"), files["wav"], *common]) == 0, capsys.readouterr().err
    assert (tmp_path / "gpu.ecdc").stat().st_size == (tmp_path / "cpu.ecdc").stat().st_size
    here, there = (soundfile.read(tmp_path / f"{device}.wav", dtype="int16")[0] for device in ("cpu", "gpu"))
    assert np.abs(here.astype(int) - there).max() <= 1


def test_a_file_that_is_too_long(model, tmp_path, monkeypatch, capsys):
    pretend_gpu.install(monkeypatch)
    soundfile.write(tmp_path / "in.wav", sound(T=24_000 * 6)[0], 24_000)
    before = pretend_gpu.memory.used
    codec = minicodec.load(model).to("gpu")
    size = pretend_gpu.memory.used - before
    pretend_gpu.memory.peak = pretend_gpu.memory.used
    codec.encode(sound(T=24_000))
    second = pretend_gpu.memory.peak - pretend_gpu.memory.used
    del codec
    monkeypatch.setattr(pretend_gpu.memory, "limit", pretend_gpu.memory.used + size + 3 * second)
    command = ["encode", str(tmp_path / "in.wav"), str(tmp_path / "out.ecdc"), "-m", str(model), "--device", "gpu"]
    assert main(command) == 2
    start, _, end = capsys.readouterr().err.partition(" s would fit")
    assert start.startswith(f"minicodec: {tmp_path / 'in.wav'}: too long for the GPU's memory, into which about ")
    assert end == "; the CPU codes files of any length\n"
    assert int(start.split()[-1]) in (2, 3)
    assert not (tmp_path / "out.ecdc").exists()
    monkeypatch.setattr(pretend_gpu.memory, "limit", pretend_gpu.memory.used + size - 1)
    assert main(command) == 2
    assert capsys.readouterr().err == "minicodec: device gpu: too little memory for the model\n"
