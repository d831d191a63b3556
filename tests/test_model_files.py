"""Models as files: the names that follow from what they hold, damage, and hostile configurations."""

import hashlib
import json
import struct
import tracemalloc
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minicodec
from minicodec.codec.config import preset_values
from minicodec.codec.model import METADATA_KEY
from minicodec.errors import InputError
from minicodec.training import checkpoint

# Names


@pytest.fixture
def hashed(monkeypatch, tiny):
    """How many bytes SHA-256 was given. What compiling gives it was before."""
    tiny.compress(np.zeros((1, 2400), np.float32))
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
    codec.compress(np.zeros((1, 2400), np.float32))
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
    packet = codec.compress(np.zeros((1, 2400), np.float32))
    with pytest.raises(InputError, match="was made by the model"):
        other.decompress(packet)


def test_new_options_at_their_defaults_rename_nothing():
    assert "dilation" not in minicodec.build("tiny_24khz").config.identity
    identity = json.loads(minicodec.build("tiny_24khz").config.identity)
    assert identity["seanet"] == {"filters": 8, "latent": 32, "lstm_layers": 1, "shortcut": "identity"}


def test_files_with_former_names_are_read(tiny, rng):
    wav = rng.normal(size=(1, 2400)).astype(np.float32)
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


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4"])
def test_types_of_numbers_that_numpy_does_not_have(kind, tmp_path):
    """In a model, and in a checkpoint."""
    path = tmp_path / "m.safetensors"
    size = 2 if kind == "BF16" else 1
    header = json.dumps({"w": {"dtype": kind, "shape": [2 if kind == "F4" else 1], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    for load, what in ((minicodec.load, "safetensors"), (checkpoint.load, "a checkpoint")):
        with pytest.raises(InputError, match=rf"m\.safetensors: cannot be read as {what}.*float"):
            load(path)


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
    "a path": ('"name": "tiny_24khz"', '"name": "a/../../b"', "name should be a word, not a/../../b"),
    "a path of Windows": ('"name": "tiny_24khz"', '"name": "a\\\\b"', "name should be a word, not a\\b"),
    "a drive": ('"name": "tiny_24khz"', '"name": "C:b"', "name should be a word, not C:b"),
    "the folder above": ('"name": "tiny_24khz"', '"name": ".."', "name should be a word, not .."),
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
