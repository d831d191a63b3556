"""Chapter 14, for my_codec: codes as bytes, and files."""

import numpy as np

from minicodec.course.catalogue import of_part
from minicodec.course.my_codec import bits as library


def _call(part, *args):
    return part(*args)


def _values(rng, fresh):
    for n, bits in [(7, 10), (16 + int(fresh), 3), (5, 1), (1, 10), (0, 4)]:
        yield rng.integers(1 << bits, size=n), bits


def _packed(rng, fresh):
    for values, bits in _values(rng, fresh):
        yield library.pack_bits(values, bits), bits, len(values)


def _codes(rng, fresh):
    for Q, T, N in [(2, 9, 8), (3, 40 + int(fresh), 4), (1, 1, 1024), (2, 60, 1024)]:
        yield rng.integers(N, size=(Q, T)), N
    yield np.zeros((2, 30), np.int64), 16


def _coded(rng, fresh):
    for codes, N in _codes(rng, fresh):
        yield library.encode_codes(codes, N), *codes.shape, N
    yield b"", 2, 3, 8


def _described(rng, fresh):
    for Q, T, N in [(2, 9, 8), (3, 5 + int(fresh), 1024)]:
        yield rng.integers(N, size=(Q, T)), 320 * T - 7, "mine-12345678", N


def _long(rng, fresh):
    for codes, samples, model, N in _described(rng, fresh):
        yield codes, samples, model, N, 6


def _files(rng, fresh):
    for codes, samples, model, N in _described(rng, fresh):
        yield library.plain_file(codes, samples, model, N), 320, N
        yield library.coded_file(codes, samples, model, N), 320, N
    codes = rng.integers(4, size=(2, 16))
    yield library.coded_file(codes, 6 * codes.shape[1], "mine", 4, chunk=7), 6, 4


EXERCISES = [
    of_part(
        "pack_bits", 14, _values, _call, returned=("bytes",),
        slips=[
            ("values[:, None] >> np.arange(bits)", "values[:, None] >> np.arange(bits)[::-1]", "the least significant bit of a value comes first"),
            ("bitorder=\"little\"", "bitorder=\"big\"", "the first bit of all is the LEAST significant of the first byte"),
            ("np.arange(bits)", "np.arange(8)", "of each value, `bits` bits are written, not 8"),
            ("np.arange(bits)", "np.arange(16)", "of each value, `bits` bits are written, not 16"),
            ("each.astype(np.uint8).ravel()", "each.astype(np.uint8).T.ravel()", "one value's bits come together, then the next one's"),
        ],
        hint="(values[:, None] >> np.arange(bits)) & 1 are the bits, np.packbits(..., bitorder='little') the bytes.",
    ),
    of_part(
        "unpack_bits", 14, _packed, _call, returned=("values",), rtol=0,
        slips=[
            ("bitorder=\"little\"", "bitorder=\"big\"", "the first bit of all is the LEAST significant of the first byte"),
            ("1 << np.arange(bits)", "1 << np.arange(bits)[::-1]", "the least significant bit of a value comes first"),
            ("[: count * bits]", "[: (len(data) * 8 // bits) * bits]", "there are `count` values; the bits after them only fill a byte"),
            ("1 << np.arange(bits)", "1 << np.arange(bits).astype(np.uint8)", "the values do not fit into 8 bits"),
            ("each.reshape(count, bits)", "each.reshape(bits, count).T", "one value's bits stand together"),
        ],
        hint="np.unpackbits, the first count·bits of them as (count,bits), times the powers of two.",
    ),
    of_part(
        "encode_codes", 14, _codes, _call, points=2, returned=("bytes",),
        slips=[
            ("for level in codes], axis=1)", "for level in np.broadcast_to(codes[0], codes.shape)], axis=1)", "each codebook has counts of its own"),
            ("symbols = codes.T[..., None]", "symbols = codes[..., None].reshape(*codes.T.shape, 1)", "codes come frame by frame: codes.T"),
            ("range_encode(starts, stops,", "range_encode(stops - 1, stops,", "a code owns the numbers from its entry to the next one"),
            ("return range_encode(starts, stops,", "return range_encode(starts[::-1], stops[::-1],", "the codes run backwards"),
            ("return range_encode(starts, stops, cumulative[..., -1].ravel())",
             "return range_encode(starts, stops, cumulative[..., -1].ravel()) + b'\\0'", "there is a byte too many at the end"),
        ],
        hint="cumulative counts (T,Q,N+1); np.take_along_axis picks those of the codes and of the codes + 1.",
    ),
    of_part(
        "decode_codes", 14, _coded, _call, points=2, returned=("codes",), rtol=0,
        slips=[
            ("            counts[q, codes[q, t]] += 4\n", "", "the counts do not grow as those of the encoder do"),
            ("counts[q, codes[q, t]] += 4", "counts[:, codes[q, t]] += 4", "each codebook has counts of its own"),
            ("while width", "if width", "one byte may not be enough: `while`, not `if`"),
            ("data[:6].ljust(6, b\"\\0\"), \"big\")", "data[:6].rjust(6, b\"\\0\"), \"big\")", "zeros are missing at the END of the data"),
            ("1 << 48, 6", "1 << 48, 5", "the first 6 bytes are in value already: the next is number 6"),
        ],
        hint="pull_symbol by the codebook's own counts; += 4; then bytes, while width is below 2^40.",
    ),
    of_part(
        "plain_file", 14, _described, _call, returned=("bytes",),
        slips=[
            ("codes.T.ravel()", "codes.ravel()", "codes come frame by frame: codes.T"),
            ("N.bit_length() - 1)", "N.bit_length())", "N = 2^bits: 1024 entries have 10 bits"),
            ("\"!4sBI\"", "\"<4sBI\"", "numbers stand with the highest byte first: '!'"),
            ("b\"ECDC\", 0,", "b\"ECDC\", 1,", "this is version 0"),
            ("\"lm\": False", "\"lm\": \"adaptive\"", "nothing is entropy-coded here: \"lm\" is False"),
        ],
        hint="struct.pack('!4sBI', b'ECDC', 0, size of the JSON) + JSON + pack_bits.",
    ),
    of_part(
        "coded_file", 14, _long, _call, points=2, returned=("bytes",),
        slips=[
            ("zlib.crc32(part.T.astype(\"<i2\").tobytes(), zlib.crc32(chunks[-1]))", "zlib.crc32(chunks[-1])", "the CRC-32 of a chunk is of its bytes AND of its codes"),
            ("encode_codes(part, N)", "encode_codes(codes, N)", "each chunk holds its own frames"),
            ("struct.pack(\"!I\", zlib.crc32(head))", "struct.pack(\"!I\", zlib.crc32(index))", "the CRC-32 of the head is of all that stands before it"),
            ("\"cf\": chunk", "\"cf\": codes.shape[1]", "\"cf\" is `chunk`, even where there are fewer frames"),
            ("b\"ECDC\", 1,", "b\"ECDC\", 0,", "this is version 1"),
        ],
        hint="the index needs the chunks, and the head the index: chunks first.",
    ),
    of_part(
        "read_file", 14, _files, _call, points=2, returned=("model", "samples", "codes"), rtol=0,
        slips=[
            (".reshape(frames, Q).T", ".reshape(Q, frames)", "codes come frame by frame"),
            ("8 * about[\"n\"] + 4", "8 * about[\"n\"]", "after the index come 4 bytes of CRC-32"),
            ("about[\"al\"], codes\n", "about[\"al\"], codes[::-1]\n", "the codebooks are in the wrong order"),
            ("        at += length\n", "", "each chunk begins where the one before it ends"),
            ("-(-about[\"al\"] // hop)", "about[\"al\"] // hop", "the last frame may be of fewer samples: round up"),
        ],
        hint="struct.unpack_from, json.loads; version 0: unpack_bits; version 1: the index, then chunk after chunk.",
    ),
]  # fmt: skip
