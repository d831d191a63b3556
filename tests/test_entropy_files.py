"""Entropy-coded files: what goes in comes out, from anywhere on; and what is damaged is found, and lost alone."""

import io
import json
import zlib

import numba
import numpy as np
import pytest

import minicodec
from minicodec.backend import active, use
from minicodec.codec.files.bitstream import Chunk
from minicodec.codec.files.entropy import chunk_coder
from minicodec.codec.files.entropy.coded_file import CodedReader, CodedWriter, predictor_for, predictor_of
from minicodec.codec.files.entropy.container import CRC, ENTRY, FRAMES_LIMIT, read_header
from minicodec.codec.transform import TransformConfig
from minicodec.errors import InputError
from minicodec.kernels.cpu import exact as compiled
from tests.entropy_models import exact_lm, frames, small_codec

SAMPLES = 300 * 50 - 2  # 50 frames: chunks of 20, 20 and 10


@pytest.fixture(scope="module")
def codec():
    return small_codec()


@pytest.fixture(scope="module")
def lm(codec):
    return exact_lm(codec=codec.name, scale=2.0)


def written(codec, lm, parts, samples=SAMPLES):
    """The bytes of a file, and where its chunks begin and end."""
    writer = CodedWriter(predictor_for(lm, codec.names, codec.config.layout, 3), codec.config.layout)
    payloads = list(writer.pack(parts))
    header = writer.header(codec.name, samples)
    return header + b"".join(payloads), len(header) + np.cumsum([0, *map(len, payloads)])


def reader(data, codec, lm):
    file = io.BytesIO(data)
    coded, start = read_header(file, "x")
    predictor = predictor_of(coded, lm, codec.names, codec.config.layout, "x")
    return CodedReader(file, coded, start, codec.config.layout, predictor, "x")


def read(data, codec, lm, first=0):
    """The codes from chunk `first` on."""
    return np.concatenate([chunk.codes for chunk, _ in reader(data, codec, lm).chunks(first)], axis=1)


@pytest.fixture(scope="module")
def codes():
    return frames(50)[0].astype(np.int16)


@pytest.fixture(scope="module")
def packet(codec, lm, codes):
    return written(codec, lm, [Chunk(codes)])[0]


def test_threads_run_on_the_backend_of_who_waits_for_them(codec, lm, codes, monkeypatch):
    seen = set()
    for name in ("encode", "decode"):
        plain = getattr(chunk_coder, name)
        monkeypatch.setattr(chunk_coder, name, lambda *args, plain=plain: (seen.add(active()), plain(*args))[1])
    with use("numpy"):
        data, _ = written(codec, lm, [Chunk(codes)])
        np.testing.assert_array_equal(read(data, codec, lm), codes)
    assert seen == {"numpy"}


@pytest.mark.parametrize("predictor", ["adaptive", "lm"])
def test_codes_come_back(predictor, codec, lm, codes):
    lm = lm if predictor == "lm" else "adaptive"
    data, _ = written(codec, lm, [Chunk(codes)])
    np.testing.assert_array_equal(read(data, codec, lm), codes)
    coded, start = read_header(io.BytesIO(data), "x")
    assert (coded.header.model, coded.header.audio_length, coded.header.codebooks) == (codec.name, SAMPLES, 3)
    assert coded.header.lm
    assert coded.predictor == ("adaptive" if lm == "adaptive" else f"lm-{lm.digest[:16]}")
    assert coded.chunk_frames == (240 if lm == "adaptive" else 20)
    assert len(coded.index) == (1 if lm == "adaptive" else 3)
    assert coded.index["size"].sum() == len(data) - start


def test_bytes_depend_neither_on_cuts_nor_on_threads(codec, lm, codes, packet):
    parts = [Chunk(codes[:, a:b]) for a, b in [(0, 1), (1, 1), (1, 39), (39, 50)]]
    before = numba.get_num_threads()
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        assert written(codec, lm, parts)[0] == packet
        np.testing.assert_array_equal(read(packet, codec, lm), codes)
    numba.set_num_threads(before)


def test_what_repeats_gets_smaller(codec):
    """The adaptive predictor on codes that are nearly always 3 or 5, by its own counts: 1 bit and not 4 for most."""
    rng = np.random.default_rng(0)
    codes = rng.choice([3, 5, 9], (3, 200), p=[0.49, 0.5, 0.01]).astype(np.int16)
    data, bounds = written(codec, "adaptive", [Chunk(codes)], 60_000)
    assert 75 < bounds[-1] - bounds[0] < 100  # 75 bytes are 1 bit each
    np.testing.assert_array_equal(read(data, codec, "adaptive"), codes)


def test_chunks_of_the_model_and_their_scales(lm):
    """As at 48 kHz: overlapping chunks, each with a scale."""
    codec = small_codec(chunk_samples=3000, chunk_stride=2850, normalize=True)
    wav = np.random.default_rng(0).normal(size=(1, 7500)).astype(np.float32)
    packet = codec.compress(wav, 0.048, lm=exact_lm())
    chunks = codec.encode(wav, 0.048)
    found = [chunk for chunk, _ in reader(packet, codec, exact_lm()).chunks(0)]
    assert len(found) == len(chunks) == 3
    for a, b in zip(found, chunks, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        assert a.scale == pytest.approx(b.scale, rel=1e-7)
    np.testing.assert_allclose(codec.decompress(packet, lm=exact_lm()), codec.decode(chunks, 7500), atol=1e-6)
    spoiled = bytearray(packet)
    spoiled[-1] ^= 1
    lines = []
    wav = codec.decompress(bytes(spoiled), lm=exact_lm(), damaged=lines.append)
    assert lines == ["packet: is damaged from 4.75 to 6.25 s"]
    assert not wav[:, 6000:].any()
    np.testing.assert_allclose(wav[:, :5700], codec.decode(chunks, 7500)[:, :5700], atol=1e-6)


def test_compress_and_decompress(codec, lm):
    wav = np.random.default_rng(0).normal(size=(1, SAMPLES)).astype(np.float32)
    expected = codec.decode(codec.encode(wav, 0.048), SAMPLES)
    assert expected.std() > 1e-3
    for kind in (lm, "adaptive"):
        packet = codec.compress(wav, 0.048, lm=kind)
        found, rate = minicodec.decompress(packet, codec, lm=lm)
        assert rate == 1200
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(InputError, match=r"^packet: needs the model small-"):
        minicodec.decompress(packet)
    with pytest.raises(ValueError, match="a LanguageModel is needed, or 'adaptive'"):
        codec.compress(wav, 0.048, lm="best")


@pytest.mark.parametrize("seconds", [0, 0.5, 4.99, 5, 9.9, 10, 12.3])
def test_decoding_starts_anywhere(seconds, codec, lm, codes, packet):
    """As if the file began a chunk before; codes of earlier chunks are not even looked at."""
    start = round(seconds * 1200)
    first = max(0, start // 6000 - 1)
    expected = codec.decode([Chunk(codes[:, 20 * first :])], SAMPLES - 6000 * first)[:, start - 6000 * first :]
    bounds = reader(packet, codec, lm).bounds
    spoiled = bytearray(packet)
    spoiled[bounds[0] : bounds[first]] = bytes(bounds[first] - bounds[0])
    np.testing.assert_array_equal(codec.decompress(bytes(spoiled), lm=lm, start=seconds), expected)
    plain = codec.decode([Chunk(codes)], SAMPLES)[:, start:]
    assert plain.shape == expected.shape


@pytest.mark.parametrize("seconds", [-0.1, 12.5, 1e9])
def test_starts_that_are_not_there(seconds, codec, lm, packet):
    with pytest.raises(InputError, match=r"^packet: cannot start at .* s; it has 12.4983 s$"):
        codec.decompress(packet, lm=lm, start=seconds)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_damaged_chunk_loses_only_itself(broken, codec, lm, codes, packet):
    bounds = reader(packet, codec, lm).bounds
    spoiled = bytearray(packet)
    spoiled[bounds[broken] + 2] ^= 16
    span = ["0.00 to 5.00", "5.00 to 10.00", "10.00 to 12.50"][broken]
    with pytest.raises(InputError, match=f"^packet: is damaged from {span} s$"):
        codec.decompress(bytes(spoiled), lm=lm)
    lines = []
    wav = codec.decompress(bytes(spoiled), lm=lm, damaged=lines.append)
    assert lines == [f"packet: is damaged from {span} s"]
    a, b = 20 * broken, min(20 * broken + 20, 50)
    before, after = [codec.decode([Chunk(c)]) if c.size else np.zeros((1, 0)) for c in (codes[:, :a], codes[:, b:])]
    expected = np.concatenate([before, np.zeros((1, 300 * (b - a))), after], axis=1)[:, :SAMPLES]
    np.testing.assert_array_equal(wav, expected)


def test_noise_is_that_of_the_whole_file():
    """A decoder with random signs has those of the frame, wherever it begins: at a start, or behind a damaged chunk.

    Of what is decoded, the first two frames lack their past.
    """
    transform = TransformConfig(hop=300, latent=4, encoder=(1,), decoder=(1,), noise_from=50)
    codec, codes = small_codec(transform=transform), frames(90)[0].astype(np.int16)
    lm, samples = exact_lm(codec=codec.name), 90 * 300
    packet, bounds = written(codec, lm, [Chunk(codes)], samples)
    whole = codec.decompress(packet, lm=lm)
    np.testing.assert_array_equal(codec.decompress(packet, lm=lm, start=70 / 4), whole[:, 70 * 300 :])
    spoiled = bytearray(packet)
    spoiled[bounds[2] + 2] ^= 16
    wav = codec.decompress(bytes(spoiled), lm=lm, damaged=lambda line: None)
    np.testing.assert_array_equal(wav[:, : 40 * 300], whole[:, : 40 * 300])
    assert not wav[:, 40 * 300 : 60 * 300].any()
    np.testing.assert_array_equal(wav[:, 63 * 300 :], whole[:, 63 * 300 :])


def test_what_is_missing_at_the_end_is_lost_alone(codec, lm, codes, packet):
    bounds = reader(packet, codec, lm).bounds
    lines = []
    wav = codec.decompress(packet[: bounds[2] - 1], lm=lm, damaged=lines.append)
    assert [line.split(":")[1] for line in lines] == [
        " is cut off",
        *[f" is damaged from {s} s" for s in ("5.00 to 10.00", "10.00 to 12.50")],
    ]
    np.testing.assert_array_equal(wav[:, :6000], codec.decode([Chunk(codes[:, :20])]))
    assert not wav[:, 6000:].any()
    assert wav.shape[1] == SAMPLES
    with pytest.raises(InputError, match=r"^packet: goes on after its end: it has \d+ bytes, there should be \d+$"):
        codec.decompress(packet + b"!", lm=lm)


def test_other_models_are_refused_by_name(codec, lm, packet):
    other = exact_lm(codec=codec.name, scale=1.9)
    with pytest.raises(
        InputError,
        match=f"^packet: was entropy-coded with the language model lm-{lm.digest[:16]}, not lm-{other.digest[:16]}$",
    ):
        codec.decompress(packet, lm=other)
    with pytest.raises(InputError, match=f"^packet: needs the language model lm-{lm.digest[:16]}"):
        codec.decompress(packet)
    with pytest.raises(InputError, match="was trained on codes of tiny_24khz-0, not of small-"):
        predictor_for(exact_lm(codec="tiny_24khz-0"), codec.names, codec.config.layout, 3)
    with pytest.raises(InputError, match=r"knows 3 codebooks of 8 entries; small-.* has others"):
        predictor_for(exact_lm(N=8), codec.names, codec.config.layout, 3)
    louder = small_codec()
    louder.decoder.parameters()[0].data *= 2
    with pytest.raises(InputError, match=r"^packet: was made by the model small-.*, this one is small-"):
        louder.decompress(packet, lm=lm)


def test_the_checksum_is_of_the_codes_too(codec, lm, packet, monkeypatch):
    """Undamaged bytes, but a decoder whose arithmetic differs, so that codes differ: not to be played."""
    linear = compiled.linear
    monkeypatch.setattr(compiled, "linear", lambda x, w, b: linear(x, w, b) * np.float32(1.001))
    with pytest.raises(InputError, match=r"is damaged from 0.00 to 5.00 s"):
        codec.decompress(packet, lm=lm)


def test_bytes_that_change_no_code_are_damage_too(codec, lm, packet):
    """A zero behind the last chunk, which a decoder takes for granted anyway."""
    index = read_header(io.BytesIO(packet), "x")[0].index.copy()
    index["size"][2] += 1
    with pytest.raises(InputError, match=r"is damaged from 10.00 to 12.50 s"):
        codec.decompress(with_header(packet, index) + b"\0", lm=lm)


def with_header(packet, index=None, **changes):
    """The file with other fields or another index, and a checksum that is right for them."""
    coded, start = read_header(io.BytesIO(packet), "x")
    size = int.from_bytes(packet[5:9], "big")
    text = json.dumps(json.loads(packet[9 : 9 + size]) | changes).encode()
    index = coded.index if index is None else np.array(index, ENTRY)
    data = packet[:5] + len(text).to_bytes(4, "big") + text + index.tobytes()
    return data + CRC.pack(zlib.crc32(data)) + packet[start:]


BAD_HEADERS = {
    "no chunks": ({"n": 0}, "number of chunks is wrong"),
    "a billion chunks": ({"n": 10**9}, "number of chunks is wrong"),
    "negative": ({"n": -3}, "number of chunks is wrong"),
    "one chunk less": ({"n": 2}, "has a damaged header"),
    "many frames": ({"cf": FRAMES_LIMIT + 1}, "8193 frames in a chunk"),
    "no frames": ({"cf": 0}, "0 frames in a chunk"),
    "other frames": ({"cf": 10}, "has 3 chunks; 14998 samples make 5"),
    "longer": ({"al": 10**15}, "has 3 chunks; 1000000000000000 samples make"),
    "no length": ({"al": 0}, "a length of 0 samples"),
    "codebooks": ({"nc": 4}, "has 4 codebooks; the model has 3"),
    "predictor": ({"lm": "lm-0123456789abcdef"}, "was entropy-coded with the language model lm-0123456789abcdef, not"),
    "predictor of another kind": ({"lm": 7}, "'lm' is no str"),
    "a checksum": ({"index": [(14, 1)] * 3}, "is damaged from 0.00"),
    "4 GB": ({"index": [(2**32 - 1, 1)] * 3}, "is cut off"),
}


@pytest.mark.parametrize("what", BAD_HEADERS)
def test_headers_that_were_forged(what, codec, lm, packet):
    changes, reason = BAD_HEADERS[what]
    if what == "a checksum":
        sizes = read_header(io.BytesIO(packet), "x")[0].index["size"]
        changes = {"index": [(int(size), 1) for size in sizes]}
    with pytest.raises(InputError, match=f"^packet: .*{reason}"):
        codec.decompress(with_header(packet, **changes), lm=lm)


def test_a_forged_header_that_is_right_is_read(codec, lm, packet):
    """So the refusals above are not for the checksum."""
    assert with_header(packet) == packet


def corrupted(packet, rng):
    """A few bits, a cut, bytes in between or exchanged, or the header's text edited."""
    data = bytearray(packet)
    match rng.integers(6):
        case 0 | 1:
            for _ in range(rng.integers(1, 4)):
                data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        case 2:
            del data[rng.integers(len(data)) :]
        case 3:
            at = rng.integers(len(data) + 1)
            data[at:at] = rng.bytes(rng.integers(1, 9))
        case 4:
            a, b = np.sort(rng.integers(0, len(data), 2))
            data[a:b] = rng.bytes(b - a)
        case 5:
            keys = ["m", "al", "nc", "lm", "cf", "n"]
            size = int.from_bytes(data[5:9], "big")
            fields = json.loads(data[9 : 9 + size])
            fields[keys[rng.integers(6)]] = [0, -1, 2, 10**18, "lm-", None, 1.5, []][rng.integers(8)]
            text = json.dumps(fields).encode()
            data[5 : 9 + size] = len(text).to_bytes(4, "big") + text
    return bytes(data)


def count_undetected(codec, lm, packet, n, seed):
    """How many of n corruptions give codes without a complaint. Anything but InputError is a crash."""
    rng, undetected = np.random.default_rng(seed), 0
    for _ in range(n):
        data = corrupted(packet, rng)
        try:
            found = reader(data, codec, lm)
            for _ in found.chunks(0):
                pass
        except InputError as error:
            undetected += not str(error).startswith("x: ") or "\n" in str(error)
        else:
            undetected += data != packet
    return undetected


def test_corruption_is_detected(codec, lm, packet):
    assert count_undetected(codec, lm, packet, 500, seed=0) == 0
