"""The .ecdc format: what is packed comes back, has exactly the bytes it should, and nothing else is believed."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from minicodec.codec.files.bitstream import Chunk, Header, Layout, pack, pack_header, read_header, unpack
from minicodec.errors import InputError

MONO = Layout(sample_rate=24_000, hop=320, codebooks=32)
STEREO = Layout(48_000, 320, 16, scales=True, chunk_samples=48_000, chunk_stride=47_520)
SMALL = Layout(sample_rate=8000, hop=100, codebooks=3, bits=7)


def draw(layout, samples, codebooks, seed=0):
    """Random chunks of the right shapes, found by walking over the audio as the released package does."""
    rng = np.random.default_rng(seed)
    chunk, stride = layout.chunk_samples or samples, layout.chunk_stride or samples
    chunks = []
    for start in range(0, samples, stride):
        frames = math.ceil(min(chunk, samples - start) / layout.hop)
        codes = rng.integers(0, 2**layout.bits, (codebooks, frames)).astype(np.int16)
        scale = float(np.float32(rng.random())) if layout.scales else None
        chunks.append(Chunk(codes, scale))
    return chunks


def packet(layout=MONO, samples=5000, codebooks=8, seed=0):
    return pack(Header("test", samples, codebooks), draw(layout, samples, codebooks, seed), layout)


def with_header(fields, payload=b""):
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return struct.pack("!4sBI", b"ECDC", 0, len(text)) + text + payload


GOOD = {"m": "test", "al": 5000, "nc": 8, "lm": False}


def refused(data, match, layout=MONO):
    """The message of the InputError that `data` must raise: one line, the file's name first."""
    with pytest.raises(InputError, match=match) as caught:
        unpack(data, layout, "some.ecdc")
    message = str(caught.value)
    assert message.startswith("some.ecdc: ")
    assert message.isprintable()
    assert len(message) < 300


layouts = st.sampled_from([MONO, STEREO, SMALL])


@settings(deadline=None, max_examples=60)
@given(layouts, st.integers(1, 200_000), st.integers(1, 3), st.integers(0, 1000))
def test_what_is_packed_comes_back(layout, samples, codebooks, seed):
    header, chunks = Header("some model", samples, codebooks), draw(layout, samples, codebooks, seed)
    again, chunks_again = unpack(pack(header, chunks, layout), layout, "x")
    assert again == header
    assert len(chunks_again) == len(chunks)
    for a, b in zip(chunks, chunks_again, strict=True):
        assert b.codes.dtype == np.int16
        np.testing.assert_array_equal(a.codes, b.codes)
        assert a.scale == b.scale


def test_more_codes_than_fit_into_one_block_come_back():
    samples = 320 * 9001  # 288 032 codes: four blocks and a piece
    chunks = draw(MONO, samples, 32)
    _, (again,) = unpack(pack(Header("m", samples, 32), chunks, MONO), MONO, "x")
    np.testing.assert_array_equal(again.codes, chunks[0].codes)


def test_bytes_known_by_heart():
    # Two codebooks, two frames: 1, 2 and then 1023, 512. As bits, least significant first:
    # 1000000000 0100000000 1111111111 0000000001, which is 01 08 f0 3f 80 in bytes of eight, low bit first.
    data = pack(Header("m", 640, 2), [Chunk(np.array([[1, 1023], [2, 512]], np.int16))], MONO)
    header = b'{"m": "m", "al": 640, "nc": 2, "lm": false}'
    assert data == b"ECDC\x00" + struct.pack(">I", len(header)) + header + bytes.fromhex("0108f03f80")


def test_scale_is_a_big_endian_float_before_each_chunk():
    chunks = [Chunk(np.full((2, n), 1023, np.int16), scale) for n, scale in ((150, 0.5), (2, 2.0))]
    data = pack(Header("m", 47_520 + 600, 2), chunks, STEREO)
    assert data[-(4 + 375 + 4 + 5) :] == struct.pack(">f", 0.5) + b"\xff" * 375 + struct.pack(">f", 2.0) + b"\xff" * 5


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 24_000, 123_457])
@pytest.mark.parametrize("codebooks", [1, 2, 3, 4, 8, 16, 32])
def test_payload_has_exactly_the_bytes_of_its_codes(samples, codebooks):
    data = packet(MONO, samples, codebooks)
    payload = len(data) - read_header(data, "x")[1]
    assert payload == math.ceil(math.ceil(samples * 75 / 24_000) * codebooks * 10 / 8)


@pytest.mark.parametrize(
    "samples", [1, 479, 480, 47_520, 47_521, 48_000, 48_001, 95_040, 95_041, 95_520, 95_521, 10**6]
)
def test_size_formula_counts_what_walking_over_the_chunks_finds(samples):
    chunks = draw(STEREO, samples, 4)
    by_hand = sum(4 + math.ceil(c.codes.size * 10 / 8) for c in chunks)
    assert STEREO.payload_bytes(samples, 4) == by_hand
    assert len(packet(STEREO, samples, 4)) == len(pack_header(Header("test", samples, 4))) + by_hand


def test_frames_are_counted_in_integers():
    # Whole frames, for which ceil(samples / 24000 * 75) is one more, because the quotient is rounded upwards.
    wrong = [n for n in range(320, 10**6, 320) if math.ceil(n / 24_000 * 75) != n // 320]
    assert wrong  # the trap exists
    assert all(MONO.frames(n) == n // 320 and MONO.frames(n + 1) == n // 320 + 1 for n in wrong)


@settings(deadline=None, max_examples=60)
@given(layouts, st.integers(1, 100_000), st.data())
def test_every_truncation_is_refused(layout, samples, data):
    whole = packet(layout, samples, 2)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    refused(cut, "ends within|is cut off|is not an .ecdc", layout)


def test_every_single_cut_of_a_short_file_is_refused():
    whole = packet(STEREO, 48_100, 2)
    for n in range(len(whole)):
        refused(whole[:n], "ends within|is cut off|is not an .ecdc", STEREO)


@pytest.mark.parametrize("layout", [MONO, STEREO])
def test_bytes_after_the_end_are_refused(layout):
    refused(packet(layout) + b"\x00", "goes on after its end", layout)


@settings(deadline=None, max_examples=300)
@given(layouts, st.data())
def test_random_damage_never_ends_in_anything_but_a_header_or_an_input_error(layout, data):
    damaged = bytearray(packet(layout, 700, 2))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    problem = None
    try:
        header, chunks = unpack(bytes(damaged), layout, "x")
    except InputError as error:
        problem = str(error)
    if problem is None:
        assert header.codebooks == len(chunks[0].codes)
        assert all(0 <= c.codes.min() <= c.codes.max() < 2**layout.bits for c in chunks)
    else:
        assert problem.startswith("x: ")
        assert problem.isprintable()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_as_header_are_refused(text):
    refused(with_header(text), "has a damaged header|is cut off")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is not an .ecdc file"),
        (b"RIFF" + bytes(100), "is not an .ecdc file"),
        (b"ECDC", "ends within its header"),
        (b"ECDC\x07" + packet()[5:], "version 7"),
        (packet()[:5] + b"\xff\xff\xff\xff" + packet()[9:], "header of 4294967295 bytes"),
        (packet()[:5] + b"\x00\x00\xff\xff" + packet()[9:], "ends within its header"),
        (with_header(b"[" * 60_000), "damaged header"),
        (with_header(b'{"m":' * 10_000), "damaged header"),
        (with_header(b"\xff\xfe"), "damaged header"),
        (with_header(b'{"al": 1' + b"0" * 5000 + b"}"), "damaged header"),
        (with_header([1, 2]), "no JSON object"),
        (with_header(json.dumps(GOOD)[:-1].encode() + b', "nc": 8}'), "a key stands there twice"),
    ],
)
def test_what_is_no_ecdc_file_is_refused(data, match):
    refused(data, match)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"al": -1}, "a length of -1 samples"),
        ({"al": 0}, "a length of 0 samples"),
        ({"al": 10**15}, "is cut off: 160 bytes follow the header, there should be 31250000000000"),
        ({"al": 10**4000}, "a length of 10000000000000000000…"),
        ({"al": 5000.0}, "'al' is no int"),
        ({"al": True}, "'al' is no int"),
        ({"al": float("nan")}, "'al' is no int"),
        ({"al": None}, "'al' is no int"),
        ({"nc": 0}, "0 codebooks"),
        ({"nc": -8}, "-8 codebooks"),
        ({"nc": 99}, "has 99 codebooks; the model has 32"),
        ({"nc": 10**100}, "100000000000000000000?…? codebooks"),
        ({"nc": 7}, "goes on after its end"),
        ({"nc": "8"}, "'nc' is no int"),
        ({"m": 3}, "'m' is no str"),
        ({"m": ""}, "name cannot be one"),
        ({"m": "a\nb"}, "name cannot be one"),
        ({"m": "\ud800"}, "name cannot be one"),
        ({"m": "a" * 256}, "name cannot be one"),
        ({"lm": 0}, "'lm' is no bool"),
        ({"lm": True}, "entropy-coded"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused_by_name(change, match):
    payload = packet()[len(pack_header(Header("test", 5000, 8))) :]
    unpack(with_header(GOOD, payload), MONO, "x")  # unchanged it is fine
    refused(with_header(GOOD | change, payload), match)


@pytest.mark.parametrize("missing", list(GOOD))
def test_a_missing_key_is_named(missing):
    refused(with_header({key: value for key, value in GOOD.items() if key != missing}), f"no '{missing}'")


def test_further_keys_are_ignored_as_the_released_package_does():
    payload = packet()[len(pack_header(Header("test", 5000, 8))) :]
    assert unpack(with_header(GOOD | {"comment": [1]}, payload), MONO, "x")[0] == Header("test", 5000, 8)


@pytest.mark.parametrize("scale", [math.nan, math.inf, -math.inf, -0.1, 1e30])
def test_a_scale_that_no_audio_has_is_refused(scale):
    data = packet(STEREO, 600, 2)
    start = read_header(data, "x")[1]
    refused(data[:start] + struct.pack("!f", scale) + data[start + 4 :], "is scaled by", STEREO)
    with pytest.raises(InputError, match="is scaled by"):
        pack(Header("test", 600, 2), [Chunk(np.zeros((2, 2), np.int16), scale)], STEREO)


@pytest.mark.parametrize(
    ("chunks", "match"),
    [
        ([], "0 chunks"),
        ([Chunk(np.zeros((2, 3), np.int16))], "shape"),
        ([Chunk(np.zeros((3, 2), np.int16))], "shape"),
        ([Chunk(np.zeros((2, 2), np.int16), 1.0)], "scale"),
        ([Chunk(np.full((2, 2), 1024, np.int16))], "do not fit into 10 bits"),
        ([Chunk(np.full((2, 2), -1, np.int16))], "do not fit into 10 bits"),
    ],
)
def test_chunks_that_the_header_does_not_announce_are_a_programming_error(chunks, match):
    with pytest.raises(ValueError, match=match):
        pack(Header("m", 640, 2), chunks, MONO)
