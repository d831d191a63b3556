"""Long files: block by block gives the bits of the whole, and memory does not grow."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings, strategies as st

import minicodec
from minicodec import audio
from minicodec.cli import main
from minicodec.cli.decode import rescaled, trimmed
from minicodec.cli.hearing import BLOCK_SECONDS
from minicodec.cli.progress import watched
from minicodec.codec.config import CodecConfig, QuantizerConfig
from minicodec.codec.files.bitstream import Chunk, Header, Layout, pack, pack_header, read_header, unpack
from minicodec.codec.files.chunks import BLOCK_FRAMES, pack_chunks, unpack_chunks
from minicodec.codec.model import Codec
from minicodec.codec.overlap import cut, overlap_add
from minicodec.codec.seanet import SEANetConfig
from minicodec.errors import InputError
from minicodec.tensor import Tensor, no_grad

MONO = Layout(600, 6, codebooks=3, bits=4)
STEREO = Layout(600, 6, codebooks=3, bits=4, scales=True, chunk_samples=60, chunk_stride=57)


def noise(T, channels=1, seed=0):
    return (0.3 * np.random.default_rng(seed).normal(size=(channels, T))).astype(np.float32)


def pieces(x, sizes):
    """x cut along its last axis into pieces of these sizes, over and over."""
    t = i = 0
    while t < x.shape[-1]:
        yield x[..., t : t + sizes[i % len(sizes)]]
        t += sizes[i % len(sizes)]
        i += 1


cuts = st.lists(st.integers(0, 90), min_size=1, max_size=6).filter(any)


@given(T=st.integers(1, 300), sizes=cuts)
@settings(deadline=None)
def test_chunks_are_those_of_the_layout(T, sizes):
    wav = noise(T, 2)
    chunks = list(cut(pieces(wav, sizes), 60, 57))
    assert [chunk.shape[1] for chunk in chunks] == list(STEREO.chunk_lengths(T))
    for i, chunk in enumerate(chunks):
        np.testing.assert_array_equal(chunk, wav[:, 57 * i : 57 * i + 60])


@pytest.mark.parametrize("lengths", [[60], [60, 60, 60], [60, 60, 12], [60, 6], [60, 60, 3], [60, 1]])
def test_overlapping_chunks_fade_into_each_other(lengths):
    """The formula written out for every sample: Σ w x / Σ w. The last chunk can end before the one before it does."""
    wavs = [noise(n, 2, seed=i) for i, n in enumerate(lengths)]
    ends = [57 * i + n for i, n in enumerate(lengths)]
    expected = np.zeros((2, max(ends)))
    for t in range(max(ends)):
        at = [(i, t - 57 * i) for i, n in enumerate(lengths) if 0 <= t - 57 * i < n]
        weights = [0.5 - abs((m + 1) / 61 - 0.5) for _, m in at]
        expected[:, t] = sum(w * wavs[i][:, m] for (i, m), w in zip(at, weights, strict=True)) / sum(weights)
    blocks = list(overlap_add(wavs, 57))
    assert [block.shape[1] for block in blocks[:-1]] == [57] * (len(lengths) - 1)
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), expected, rtol=0, atol=1e-6)


@given(layout=st.sampled_from([MONO, STEREO]), Q=st.integers(1, 3), T=st.integers(1, 9000), sizes=cuts)
@settings(deadline=None)
def test_parts_give_the_bytes_of_the_whole_file(layout, Q, T, sizes):
    rng = np.random.default_rng(T)
    scale = 0.25 if layout.scales else None
    chunks = [
        Chunk(rng.integers(0, 16, (Q, layout.frames(n))).astype(np.int16), scale) for n in layout.chunk_lengths(T)
    ]
    header = Header("m", T, Q)
    packet = pack(header, chunks, layout)
    parts = chunks if layout.scales else [Chunk(codes) for codes in pieces(chunks[0].codes, sizes)]
    assert pack_header(header) + b"".join(pack_chunks(parts, layout)) == packet
    _, start = read_header(packet, "x")
    read = list(unpack_chunks(io.BytesIO(packet[start:]), header, layout, "x"))
    _, expected = unpack(packet, layout, "x")
    assert [part.scale for part in read] == [scale] * len(read)
    joined = [np.concatenate([part.codes for part in parts], axis=1) for parts in (read, expected)]
    np.testing.assert_array_equal(*joined)
    assert max(part.codes.shape[1] for part in read) <= BLOCK_FRAMES


def test_a_file_that_shrinks_while_it_is_read_is_refused():
    with pytest.raises(InputError, match="x: is cut off"):
        list(unpack_chunks(io.BytesIO(bytes(100)), Header("m", 6000, 3), MONO, "x"))


@pytest.fixture(scope="module")
def stereo():
    """A small relative of encodec_48khz: it looks ahead, in chunks that overlap, one scale each."""
    seanet = SEANetConfig(filters=4, latent=6, strides=(2, 3), norm="time_group_norm", causal=False, pad_mode="reflect")
    chunks = {"chunk_samples": 60, "chunk_stride": 57}
    config = CodecConfig("small", 600, 2, (1.2,), QuantizerConfig(3, 16), seanet, **chunks, normalize=True)
    return Codec(config, seed=2)


@pytest.mark.parametrize("T", [1, 57, 58, 60, 63, 114, 500])
@pytest.mark.parametrize("sizes", [[1], [60], [57], [7, 0, 200], [1000]])
def test_overlapping_chunks_in_blocks(stereo, T, sizes):
    wav = noise(T, 2, seed=T)
    chunks = list(stereo.encode_blocks(pieces(wav, sizes)))
    for i, (chunk, n) in enumerate(zip(chunks, STEREO.chunk_lengths(T), strict=True)):
        piece = wav[:, 57 * i : 57 * i + n]
        scale = np.sqrt((piece.mean(axis=0) ** 2).mean()) + 1e-8
        with no_grad():
            z = stereo.encoder(Tensor(np.ascontiguousarray((piece / np.float32(chunk.scale)).T[None]))).data[0]
        np.testing.assert_allclose(chunk.scale, scale, rtol=1e-6)
        np.testing.assert_array_equal(chunk.codes, stereo.quantizer.encode(z, 3))
    wav = np.concatenate(list(stereo.decode_blocks(iter(chunks))), axis=1)
    np.testing.assert_array_equal(stereo.decode(chunks, T), wav[:, :T])
    assert wav.shape[1] >= T
    assert np.isfinite(wav).all()


def test_a_model_that_looks_ahead_takes_the_whole_signal_at_once():
    seanet = SEANetConfig(filters=4, latent=6, strides=(2, 3), causal=False)
    codec = Codec(CodecConfig("small", 600, 1, (1.2,), QuantizerConfig(3, 16), seanet), seed=2)
    wav = noise(200)
    (part,) = codec.encode_blocks(pieces(wav, [7]))
    with no_grad():
        z = codec.encoder(Tensor(np.ascontiguousarray(wav.T[None]))).data[0]
        expected = codec.decoder(Tensor(codec.quantizer.decode(part.codes.astype(int))[None])).data[0].T
    np.testing.assert_array_equal(part.codes, codec.quantizer.encode(z, 3))
    (decoded,) = codec.decode_blocks([Chunk(part.codes[:, :5]), Chunk(part.codes[:, 5:])])
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("rates", [(44_100, 24_000), (48_000, 24_000), (16_000, 48_000), (24_000, 24_000)])
@given(T=st.integers(1, 5000), sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=4).filter(any))
@settings(max_examples=15, deadline=None)
def test_resampled_in_blocks_to_the_bit(rates, T, sizes):
    wav = noise(T, 2, seed=T)
    blocks = list(audio.resample_blocks(pieces(wav, [max(1, n) for n in sizes]), *rates))
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), audio.resample(wav, *rates))


def test_resampling_checks_the_rates():
    with pytest.raises(InputError, match="a sample rate of 1 Hz"):
        list(audio.resample_blocks([noise(5)], 24_000, 1))
    assert list(audio.resample_blocks([], 24_000, 48_000)) == []


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_audio_written_in_blocks_is_the_same_file(suffix, tmp_path):
    wav = 3 * noise(9999, 2)
    whole, parts = tmp_path / f"whole.{suffix}", tmp_path / f"parts.{suffix}"
    clipped = audio.write(whole, wav, 24_000)
    with audio.writer(parts, 2, 24_000) as file:
        for block in pieces(wav, [1000, 0, 7]):
            file.write(block)
    assert 0 < clipped == file.clipped == int((np.abs(wav) > 1).sum())
    assert parts.read_bytes() == whole.read_bytes()
    np.testing.assert_allclose(audio.read(whole)[0], np.clip(wav, -1, 1), rtol=0, atol=1.001 / 32_768)


def test_audio_that_fails_half_way_leaves_nothing(tmp_path):
    def fail():
        with audio.writer(tmp_path / "a.wav", 1, 24_000) as file:
            file.write(noise(100))
            file.write(noise(100) * np.nan)

    with pytest.raises(InputError, match="NaN"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_trimmed_and_rescaled():
    wav = noise(100, 2)
    blocks = list(trimmed(pieces(wav, [30]), 40, 65))
    assert [block.shape[1] for block in blocks] == [0, 20, 5, 0]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), wav[:, 40:65])
    for factor, divisor in [(5, np.abs(5 * wav).max()), (0.2, 1)]:
        blocks = list(rescaled(pieces(np.float32(factor) * wav, [30]), 2))
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), np.float32(factor) * wav / divisor)


class Clock:
    """Two seconds go by whenever somebody looks."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 2
        return self.now


def test_progress_elsewhere_is_a_plain_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("time.perf_counter", Clock())
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    blocks = [np.zeros((1, 0))] + [np.zeros((1, 5000))] * 9
    assert list(watched(iter(blocks), 1000, 50)) == blocks
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = ["20 of 50 s  1.7 s of audio/s  0:00:15 left", "40 of 50 s  1.8 s of audio/s  0:00:05 left"]
    assert captured.err.splitlines() == lines
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)
    list(watched(iter(blocks), 1000, 50))
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    blocks = [np.zeros((1, 5000))] * 4
    assert list(watched(iter(blocks), 1000, 20)) == blocks
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "s of audio/s" in captured.err


# Encodes and decodes, and prints by how many MB the peak memory of the process rose in each, above what it was once
# both had run on a short file. (Linux tells the peak of this program alone.)
WATCHED = """
import json, sys
from minicodec.cli import main
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1000
folder, model = sys.argv[1:]
peaks = []
for name in ("short", "long"):
    for argv in (["encode", f"{folder}/{name}.wav", f"{folder}/{name}.ecdc"],
                 ["decode", f"{folder}/{name}.ecdc", f"{folder}/{name}_out.wav", "-r"]):
        assert main([*argv, "-m", model]) == 0
        peaks.append(peak())
print(json.dumps(peaks))
"""


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_file(tmp_path):
    """A minute of 48 kHz stereo is 23 MB as float, and 23 MB again in every layer near the waveform of this model."""
    seanet = SEANetConfig(filters=4, latent=4, lstm_layers=0)
    Codec(CodecConfig("small", 24_000, 1, (6.0,), QuantizerConfig(8, 1024), seanet)).save(tmp_path / "m.safetensors")
    wav = np.tile(noise(48_000, 2), 60)
    soundfile.write(tmp_path / "short.wav", wav[:, :100_000].T, 48_000)
    soundfile.write(tmp_path / "long.wav", wav.T, 48_000)
    command = [sys.executable, "-c", WATCHED, str(tmp_path), str(tmp_path / "m.safetensors")]
    process = subprocess.run(command, capture_output=True, check=True)
    _, short, encoded, decoded = json.loads(process.stdout.splitlines()[-1])
    assert encoded < short + 25
    assert decoded < short + 25
    assert soundfile.info(tmp_path / "long_out.wav").frames == 60 * 24_000


@pytest.mark.parametrize("extra", [1, 11_000])
def test_a_file_of_several_blocks_is_coded_as_in_one_piece(extra, tmp_path):
    codec = minicodec.build("tiny_24khz", seed=0)
    codec.save(tmp_path / "tiny.safetensors")
    soundfile.write(tmp_path / "in.flac", noise(2 * BLOCK_SECONDS * 44_100 + extra, 2).T, 44_100)
    model = ["-m", str(tmp_path / "tiny.safetensors")]
    assert main(["encode", str(tmp_path / "in.flac"), str(tmp_path / "a.ecdc"), *model]) == 0
    wav, rate = audio.read(tmp_path / "in.flac")
    converted = audio.resample(audio.remix(wav, 1), rate, 24_000)
    packet = codec.compress(converted, 6)
    assert (tmp_path / "a.ecdc").read_bytes() == packet
    assert main(["decode", str(tmp_path / "a.ecdc"), str(tmp_path / "a.wav"), *model]) == 0
    audio.write(tmp_path / "whole.wav", codec.decompress(packet), 24_000)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()
