"""The whole codec: sizes, lengths, rates, causality, files."""

import hashlib
import json
import tracemalloc
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minicodec
from minicodec.codec.config import PRESETS, from_dict, preset_values
from minicodec.codec.files import bitstream
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.model import METADATA_KEY, Codec
from minicodec.codec.overlap import overlap_add
from minicodec.codec.pretrained import load_safetensors
from minicodec.errors import InputError


@pytest.fixture(scope="module")
def tiny():
    return minicodec.build("tiny_24khz", seed=1)


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
        ({"seanet": {"shortcut": "none"}}, "choose conv or identity"),
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


# Names


@pytest.fixture
def hashed(monkeypatch):
    """How many bytes SHA-256 was given."""
    sizes, sha256 = [], hashlib.sha256

    class Counting:
        def __init__(self, data=b""):
            self.hash = sha256(data)

        def update(self, data):
            sizes.append(memoryview(data).nbytes)
            self.hash.update(data)

        def hexdigest(self):
            return self.hash.hexdigest()

        def copy(self):
            copy = Counting()
            copy.hash = self.hash.copy()
            return copy

    monkeypatch.setattr(hashlib, "sha256", Counting)
    return sizes


def test_the_name_is_computed_once_per_state(hashed):
    codec = minicodec.build("tiny_24khz")
    name = codec.name
    once = sum(hashed)
    assert once > 1_000_000  # bytes; the configuration adds some hundred at each call
    assert codec.name == name
    codec.compress(noise(0.1))
    assert sum(hashed) < once + 5000
    codec.decoder.parameters()[3].data[0] += 1
    assert codec.name != name
    assert 2 * once < sum(hashed) + 500
    assert sum(hashed) < 2 * once + 10_000


def test_the_name_covers_the_configuration():
    codec = minicodec.build("tiny_24khz")
    other = deepcopy(codec)
    assert other.name == codec.name
    other.config = replace(codec.config, seanet=replace(codec.config.seanet, pad_mode="reflect"))
    assert other.name != codec.name
    assert other.names[1] == codec.names[1]  # what it was called before: by its weights alone
    packet = codec.compress(noise(0.1))
    with pytest.raises(InputError, match="was made by the model"):
        other.decompress(packet)


def test_new_options_at_their_defaults_rename_nothing():
    assert "dilation" not in minicodec.build("tiny_24khz").config.identity
    identity = json.loads(minicodec.build("tiny_24khz").config.identity)
    assert identity["seanet"] == {"filters": 8, "latent": 32, "lstm_layers": 1, "shortcut": "identity"}


def test_files_with_former_names_are_read(tiny):
    wav = noise(0.1)
    packet, expected = tiny.compress(wav), tiny.decode(tiny.encode(wav), 2400)
    digest = hashlib.sha256()
    for key, array in sorted(tiny.state_dict().items()):
        if key not in ("quantizer.sums", "quantizer.waiting"):
            digest.update(key.encode() + array.tobytes())
    former = f"tiny_24khz-{digest.hexdigest()[:8]}"
    assert former != tiny.name
    found, _ = minicodec.decompress(packet.replace(tiny.name.encode(), former.encode()), tiny)
    np.testing.assert_array_equal(found, expected)


def test_only_published_weights_have_the_published_name(tmp_path):
    codec = minicodec.build("encodec_24khz")
    assert codec.name.startswith("encodec_24khz-")
    codec.published = codec.digest
    assert codec.name == "encodec_24khz"
    codec.save(tmp_path / "m.safetensors")
    again = minicodec.load(tmp_path / "m.safetensors")
    assert again.name == "encodec_24khz"
    codec.save(tmp_path / "half.safetensors", half=True)
    assert minicodec.load(tmp_path / "half.safetensors").name.startswith("encodec_24khz-")
    again.quantizer.codebooks[3, 5, 7] += 1
    assert again.name.startswith("encodec_24khz-")
    assert "encodec_24khz" in again.names  # files of the released package and of older versions: nobody can tell


# Model files


def test_a_changed_bit_is_found(tiny, tmp_path):
    path = tmp_path / "m.safetensors"
    tiny.save(path)
    data = bytearray(path.read_bytes())
    for place in (len(data) // 2, len(data) - 1):
        data[place] ^= 1
        path.write_bytes(data)
        data[place] ^= 1
        with pytest.raises(InputError, match=r"m\.safetensors: is damaged"):
            minicodec.load(path)
    path.write_bytes(bytes(data).replace(b'\\"bandwidths\\": [0.75', b'\\"bandwidths\\": [1.50'))
    with pytest.raises(InputError, match=r"m\.safetensors: is damaged"):
        minicodec.load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value, tiny, tmp_path):
    codec = deepcopy(tiny)
    codec.decoder.parameters()[5].data.reshape(-1)[7] = value
    codec.save(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"m\.safetensors: decoder.* holds NaN or infinity"):
        minicodec.load(tmp_path / "m.safetensors")


def test_older_files_are_read(tiny, tmp_path):
    """Without a digest in them."""
    tiny.save(tmp_path / "m.safetensors")
    metadata = {METADATA_KEY: json.dumps(tiny.config.to_dict())}
    save_file(load_file(tmp_path / "m.safetensors"), tmp_path / "old.safetensors", metadata)
    assert minicodec.load(tmp_path / "old.safetensors").name == tiny.name


# Each with what the message says. The whole is JSON, where 1e400 is infinity.
HOSTILE = {
    "zero stride": ('"strides": [2, 4, 5, 8]', '"strides": [2, 0, 5, 8]', "strides should be 1 … 8192, not 0"),
    "negative stride": ('"strides": [2, 4, 5, 8]', '"strides": [-2, 4, 5, -8]', "strides should be 1 … 8192, not -2"),
    "no strides": ('"strides": [2, 4, 5, 8]', '"strides": []', "strides should be a list of 1 to 64 numbers"),
    "strides as text": ('"strides": [2, 4, 5, 8]', '"strides": "2458"', "strides should be a list"),
    "a text": ('"filters": 8', '"filters": "xxxxxxxx"', "filters should be int, not xxxxxxxx"),
    "a truth": ('"filters": 8', '"filters": true', "filters should be int, not True"),
    "a fraction": ('"filters": 8', '"filters": 8.0', "filters should be int, not 8.0"),
    "infinity": ('"filters": 8', '"filters": 1e400', "filters should be int, not inf"),
    "thousands of digits": ('"filters": 8', f'"filters": {"9" * 4000}', "not a number of many digits"),
    "levels": ('"levels": 8', '"levels": 10000000', "levels should be 1 … 1024, not 10000000"),
    "entries": ('"entries": 1024', '"entries": 1073741824', "entries should be 2 … 32768"),
    "beam": ('"beam": 1', '"beam": 100', "beam should be 1 … 64, not 100"),
    "layers": ('"lstm_layers": 1', '"lstm_layers": 100000000', "lstm_layers should be 0 … 8"),
    "units": ('"residual_units": 1', '"residual_units": 64', "it would be larger than the "),
    "width": ('"filters": 8', '"filters": 256', "it would be larger than the "),
    "codebooks": ('"levels": 8', '"levels": 1024', "it would be larger than the "),
    "doubled for ever": ('"strides": [2, 4, 5, 8]', f'"strides": {[2, 160] + [1] * 62}', "8 filters, doubled 64 times"),
    "rate": ('"bandwidths": [0.75, ', '"bandwidths": [1e400, ', "bandwidths should be a number above 0, not inf"),
    "negative rate": ('"bandwidths": [0.75, ', '"bandwidths": [-1, ', "bandwidths should be a number above 0, not -1"),
    "no rate": ('"bandwidths": [0.75, 1.5, 3.0, 6.0]', '"bandwidths": []', "bandwidths should be a list"),
    "name": ('"name": "tiny_24khz"', '"name": "\\n\\u001b[2J"', "name should be a word"),
    "a list for a table": ('{"levels": 8, "entries": 1024, "beam": 1}', "[8]", "should be a table"),
    "half a stride": ('"chunk_samples": null', '"chunk_samples": 24000', "chunk_samples and chunk_stride go together"),
    "unknown": ('"filters": 8', '"colours": 8', "unknown option colours"),
    "missing": ('"sample_rate": 24000, ', "", "sample_rate missing"),
    "deep": ('"filters": 8', '"filters": ' + "[" * 100_000, "its configuration is damaged"),
    "norm": ('"norm": "weight_norm"', '"norm": "no"', "norm 'no': choose one of"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_configurations_are_refused(case, tiny, tmp_path):
    before, after, reason = HOSTILE[case]
    text = json.dumps(tiny.config.to_dict())
    assert before in text
    path = tmp_path / "m.safetensors"
    tiny.save(path)
    save_file(load_file(path), path, {METADATA_KEY: text.replace(before, after)})
    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        minicodec.load(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    assert peak < 20e6  # the file has 3 MB


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"power": 1.0}, "a power of 1, smoothed by "),
        ({"power": 1e-300}, "is no companding"),
        ({"smoothing": 1e-300}, "is no companding"),
        ({"hop": 8000}, "a hop of 8000 frequencies exceeds 4096"),
        ({"hop": 2000}, "it would be larger than the "),
        ({"encoder": [1] * 64}, "it would be larger than the "),
        ({"decoder": [0]}, "decoder should be 1 … 8192, not 0"),
        ({"decoder": "1"}, "decoder should be a list"),
    ],
)
def test_hostile_configurations_of_the_transform(change, reason, tmp_path):
    values = {k: v for k, v in preset_values("transform_24khz").items() if k != "training"}
    values["transform"] = {"hop": 40, "latent": 8} | change
    values["bandwidths"], values["sample_rate"] = [6.0], 3000 * values["transform"]["hop"] // 40
    path = tmp_path / "m.safetensors"
    save_file({"x": np.zeros(100_000, np.float32)}, path, {METADATA_KEY: json.dumps(values)})
    with pytest.raises(InputError) as caught:
        minicodec.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
