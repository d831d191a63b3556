"""The whole codec: sizes, lengths, rates, causality, files."""

from dataclasses import replace

import numpy as np
import pytest

import minicodec
from minicodec.codec.config import PRESETS, from_dict, preset_values
from minicodec.codec.files import bitstream
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.model import Codec
from minicodec.codec.overlap import overlap_add
from minicodec.codec.pretrained import load_safetensors
from minicodec.errors import InputError


def noise(seconds, channels=1, rate=24000, seed=0):
    return (0.3 * np.random.default_rng(seed).normal(size=(channels, round(rate * seconds)))).astype(np.float32)


def test_parameter_counts_of_our_presets():
    """Counted by hand from the table of layers, not by the code: see the sums."""
    conv = lambda k, i, o: k * i * o + 2 * o  # noqa: E731  weight norm: direction, one length a channel; bias
    up = lambda k, i, o: k * i * o + i + o  # noqa: E731
    lstm = lambda h: 8 * h * h + 4 * h  # noqa: E731
    for name, C, D, layers in [("mini_24khz", 16, 64, 2), ("tiny_24khz", 8, 32, 1)]:
        codec = minicodec.build(name)
        encoder, decoder, c = conv(7, 1, C), conv(7, C, 1), C
        for s in (2, 4, 5, 8):
            unit = conv(3, c, c // 2) + conv(1, c // 2, c)
            encoder += unit + conv(2 * s, c, 2 * c)
            decoder += unit + up(2 * s, 2 * c, c)
            c *= 2
        encoder += layers * lstm(c) + conv(7, c, D)
        decoder += layers * lstm(c) + conv(7, D, c)
        assert sum(p.data.size for p in codec.encoder.parameters()) == encoder
        assert sum(p.data.size for p in codec.decoder.parameters()) == decoder
    assert 3.3e6 < sum(p.data.size for p in minicodec.build("mini_24khz").parameters()) < 3.8e6


@pytest.mark.parametrize("T", [1, 319, 320, 321, 24000, 24123])
def test_lengths_and_payload(tiny, T):
    wav = noise(T / 24000)
    for kbps, Q in zip(tiny.bandwidths, (1, 2, 4, 8), strict=True):
        (chunk,) = tiny.encode(wav, kbps)
        frames = -(-T * 75 // 24000)
        assert chunk.codes.shape == (Q, frames)
        assert chunk.codes.dtype == np.int16
        packet = tiny.compress(wav, kbps)
        _, header = bitstream.read_header(packet, "test")
        assert len(packet) - header == -(-frames * Q * 10 // 8)
        decoded, rate = minicodec.decompress(packet, tiny)
        assert decoded.shape == (1, T)
        assert rate == 24000
        np.testing.assert_array_equal(decoded, tiny.decode([chunk])[:, :T])


def test_codes_at_a_lower_rate_are_a_prefix(tiny):
    wav = noise(0.5)
    low, high = tiny.encode(wav, 1.5)[0].codes, tiny.encode(wav, 6)[0].codes
    np.testing.assert_array_equal(high[:2], low)


def test_causal_model_does_not_look_ahead(tiny):
    """Codes of a frame depend on the samples up to its end, and no later one: 13.3 ms at 75 Hz."""
    wav = noise(0.5)
    codes = tiny.encode(wav, 6)[0].codes
    changed = wav.copy()
    changed[:, 20 * 320 :] *= -1
    after = tiny.encode(changed, 6)[0].codes
    np.testing.assert_array_equal(after[:, :20], codes[:, :20])
    assert (after[:, 20:] != codes[:, 20:]).any()


def test_same_seed_same_codec_and_other_seed_another():
    a, b, c = (minicodec.build("tiny_24khz", seed=s) for s in (3, 3, 4))
    assert a.name == b.name != c.name
    assert a.name.startswith("tiny_24khz-")


def test_save_and_load(tiny, tmp_path):
    tiny.save(tmp_path / "m.safetensors")
    again = minicodec.load(tmp_path / "m.safetensors")
    wav = noise(0.2)
    assert again.compress(wav, 3) == tiny.compress(wav, 3)
    assert again.config == tiny.config
    np.testing.assert_allclose(
        again.quantizer.sums, again.quantizer.codebooks * again.quantizer.counts[:, :, None], atol=1e-6
    )


def test_half_precision_rounds_every_number_once_and_makes_another_model(tiny, tmp_path):
    tiny.save(tmp_path / "half.safetensors", half=True)
    tiny.save(tmp_path / "whole.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.51 * (tmp_path / "whole.safetensors").stat().st_size
    half = minicodec.load(tmp_path / "half.safetensors")
    assert half.name != tiny.name
    own = tiny.state_dict()
    for key, array in half.state_dict().items():
        if key not in ("quantizer.sums", "quantizer.waiting"):
            assert array.dtype == own[key].dtype
            np.testing.assert_allclose(array, own[key], rtol=2**-11, atol=2**-25)  # 11 bits; or what float16 has least
    half.save(tmp_path / "again.safetensors", half=True)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "half.safetensors").read_bytes()
    tiny.decoder.parameters()[0].data[...] = 1e5
    with pytest.raises(ValueError, match="weights up to 100000 do not fit into half precision"):
        tiny.save(tmp_path / "large.safetensors", half=True)


def test_files_of_another_model_are_refused(tiny):
    packet = tiny.compress(noise(0.1))
    with pytest.raises(InputError, match=r"x\.ecdc: was made by the model tiny_24khz-"):
        minicodec.decompress(packet, minicodec.build("tiny_24khz", seed=2), "x.ecdc")
    with pytest.raises(InputError, match=r"packet: needs the model tiny_24khz-.*: load it"):
        minicodec.decompress(packet)


@pytest.mark.parametrize(
    ("wav", "kbps", "reason"),
    [
        (np.zeros((1, 10), np.float32), 7, "7 kbps is not on offer: choose from 0.75, 1.5, 3, 6"),
        (np.zeros((2, 10), np.float32), 6, r"a waveform \(1,T\) is needed, this one is \(2, 10\)$"),
        (np.zeros(10, np.float32), 6, r"a waveform \(1,T\) is needed, this one is \(10,\): give wav\[None\]$"),
        (np.zeros((10, 1), np.float32), 6, r"a waveform \(1,T\) is needed, this one is \(10, 1\): give wav.T$"),
        (np.zeros((1, 0), np.float32), 6, "no samples"),
        (np.full((1, 9), np.nan, np.float32), 6, "not finite"),
        (np.full((1, 9), np.inf, np.float32), 6, "not finite"),
        (np.full((1, 9), 20_000, np.int16), 6, "samples are floats in -1 … 1, these are int16: divide"),
        (np.ones((1, 9), bool), 6, "these are bool"),
        (np.float32([[0, 1, -20_000]]), 6, "samples up to 20000, where audio lies within"),
    ],
)
def test_wrong_input_is_refused(tiny, wav, kbps, reason):
    with pytest.raises(ValueError, match=reason):
        tiny.encode(wav, kbps)


def test_silence_gives_finite_sound(tiny):
    assert np.isfinite(tiny.decode(tiny.encode(np.zeros((1, 3000), np.float32)))).all()


def test_stereo_model_with_scales():
    """A small relative of encodec_48khz: chunks that overlap, one scale each."""
    values = preset_values("encodec_48khz") | {"name": "test"}
    values["seanet"] = values["seanet"] | {"filters": 4, "latent": 8}
    values.pop("training", None)
    codec = Codec(from_dict(values, "test"))
    wav = noise(2.01, channels=2, rate=48000)
    wav[:, 47520:] *= 1e-4  # a quiet second chunk must not drown: that is what scales are for
    chunks = codec.encode(wav, 6)
    assert [c.codes.shape for c in chunks] == [(4, 150), (4, 150), (4, 5)]
    np.testing.assert_allclose(chunks[0].scale, np.sqrt((wav[:, :48000].mean(0) ** 2).mean()), rtol=1e-4)
    packet = codec.compress(wav, 6)
    decoded, _ = minicodec.decompress(packet, codec)
    assert decoded.shape == wav.shape
    levels = np.abs(decoded[:, :40000]).mean(), np.abs(decoded[:, 60000:]).mean()
    np.testing.assert_allclose(levels[0] / levels[1], 1e4, rtol=0.5)
    louder = codec.encode(wav * 2, 6)  # the same chunk, divided by twice the scale
    np.testing.assert_allclose(louder[0].scale, 2 * chunks[0].scale, rtol=1e-6)
    assert (louder[0].codes == chunks[0].codes).mean() > 0.99


def test_overlap_add_is_a_partition_of_unity(rng):
    """Chunks of one signal, cut with overlap, come back as that signal."""
    wav = rng.normal(size=(2, 230)).astype(np.float32)
    chunks = (wav[:, i : i + 50] for i in range(0, 230, 45))
    np.testing.assert_allclose(np.concatenate(list(overlap_add(chunks, 45)), axis=1), wav, atol=1e-6)


def test_presets_are_complete_and_checked():
    assert {name: minicodec.build(name).config.name for name in PRESETS} == {name: name for name in PRESETS}
    with pytest.raises(InputError, match=r"nope: no such preset; there are encodec_24khz"):
        minicodec.build("nope")
    values = {k: v for k, v in preset_values("tiny_24khz").items() if k != "training"}
    for change, reason in [
        ({"colour": 1}, "unknown option colour"),
        ({"bandwidths": [0.5]}, "0.5 kbps need 0 of 8"),
        ({"quantizer": {"entries": 1000}}, "power of two"),
        ({"seanet": {"shortcut": "none"}}, "shortcut 'none': choose one of conv, identity"),
        ({"seanet": {"norm": "no"}}, "norm 'no': choose one of none, "),
        ({"seanet": {"pad_mode": "no"}}, "pad_mode 'no': choose one of zero, reflect"),
        ({"seanet": {"norm": "time_group_norm"}}, "time_group_norm cannot be causal"),
    ]:
        with pytest.raises(InputError, match=rf"my\.toml: .*{reason}"):
            from_dict(values | change, "my.toml")


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", b'\x02\0\0\0\0\0\0\0{}'])
def test_files_that_are_no_models(content, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"m\.safetensors: ") as error:
        load_safetensors(path)
    assert "\n" not in str(error.value)


def test_models_that_cannot_be_found(tmp_path):
    for path, reason in [
        (tmp_path, "has no model.safetensors"),
        (tmp_path / "x", "no such model"),
        ("mini_24khz", "is a preset without weights"),
    ]:
        with pytest.raises(InputError, match=reason):
            minicodec.load(path)
    (tmp_path / "m.txt").touch()
    with pytest.raises(InputError, match=r"are \.safetensors files"):
        minicodec.load(tmp_path / "m.txt")


def test_wrong_codes_are_refused(tiny):
    codes = np.zeros((2, 3), np.int16)
    for chunks, reason in [
        ([], "codes (Q,frames) are needed, or a list of chunks with at least one in it"),
        (None, "codes (Q,frames) are needed"),
        (codes[0], "codes (1…8,frames) are needed"),
        ([codes, codes - 1], "item 1: codes from -1 to -1"),
        ([[Chunk(codes)], []], "item 1: codes (Q,frames) are needed"),
        ([Chunk(codes), codes], "item 0: codes (Q,frames) are needed"),
        ([Chunk(codes[0])], "codes (1…8,frames) are needed"),
        ([Chunk(codes + 0.7)], "codes are integers, these are float64"),
        ([Chunk(codes - 1)], "codes from -1 to -1"),
        ([Chunk(codes + 1024)], "codes from 1024 to 1024, but the codebooks have 1024 entries"),
    ]:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            tiny.decode(chunks)
        assert reason in str(caught.value)
    whole = Codec(replace(tiny.config, chunk_samples=960, chunk_stride=640))  # codes chunk by chunk
    with pytest.raises(ValueError, match="codes from -1 to -1"):
        whole.decode([Chunk(codes - 1)])


@pytest.mark.parametrize("lm", [None, "adaptive"])
def test_starts_that_a_file_does_not_have(tiny, lm):
    wav = np.tile(noise(0.1), 60)  # repeats itself, so that "adaptive" stays
    packet = tiny.compress(wav, lm=lm)
    assert bitstream.read_version(packet, "x") == (0 if lm is None else 1)
    whole, _ = minicodec.decompress(packet, tiny)
    part, _ = minicodec.decompress(packet, tiny, start=0.5)
    assert part.shape == (1, wav.shape[1] - 12_000)
    np.testing.assert_array_equal(part[:, 12_000:], whole[:, 24_000:])
    for start in (-0.5, 6.0, 1e30, np.nan, np.inf, -np.inf):
        with pytest.raises(InputError, match=r"^x: cannot start at [-+.a-z0-9]+ s; it has 6 s$"):
            minicodec.decompress(packet, tiny, "x", start=start)
