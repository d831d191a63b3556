"""Chapters 14 and 16, for my_codec: files, and streams."""

import numpy as np

from minicodec.course.catalogue import of_part
from minicodec.course.my_codec import bits as library
from minicodec.course.my_codec.conv import Conv1d, ConvTranspose1d
from minicodec.course.my_codec.lstm import LSTM
from minicodec.course.my_codec.quantizer import Codec
from minicodec.course.my_codec.seanet import ResidualUnit
from minicodec.course.my_codec.tensor import elu, parameters

CONFIG = {"seanet": {"filters": 2, "latent": 3, "strides": (2, 3), "lstm_layers": 1},
          "quantizer": {"levels": 2, "entries": 4}}  # fmt: skip


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


def _sent(part, layers, state, pieces):
    """Pieces through an LSTM, given as weights of its layers."""
    stack = LSTM(pieces[0].shape[1], len(layers), np.random.default_rng(0))
    for layer, weights in zip(stack.layers, layers, strict=True):
        layer.weight_ih.data, layer.weight_hh.data, layer.bias.data = weights
    out = []
    for piece in pieces:
        y, state = part(piece, state, stack.layers)
        out.append(y)
    return np.concatenate(out), np.array([np.concatenate([h[0], c[0]]) for h, c in state])


def _sequences(rng, fresh):
    for depth, H, cut in [(1, 2, (3, 1)), (2, 3, (2, 0, 4 + int(fresh)))]:
        layers = [(rng.normal(size=(H, 4 * H)), rng.normal(size=(H, 4 * H)), rng.normal(size=4 * H)) for _ in range(depth)]
        zeros = [(np.zeros((1, H)), np.zeros((1, H))) for _ in range(depth)]
        yield layers, zeros, [rng.normal(size=(n, H)) for n in cut]


def _layer(kind):
    rng = np.random.default_rng(8)
    layer = {
        "conv": lambda: Conv1d(2, 3, 5, rng, stride=2), "dilated": lambda: Conv1d(2, 3, 3, rng, dilation=2),
        "transposed": lambda: ConvTranspose1d(2, 3, 4, rng, stride=2), "unit": lambda: ResidualUnit(2, rng),
        "lstm": lambda: LSTM(2, 2, rng), "elu": lambda: elu,
    }[kind]()  # fmt: skip
    found = {} if kind == "elu" else parameters(layer)
    for p in found.values():
        p.data = (p.data + 0.3 * rng.normal(size=p.data.shape)).astype(np.float32)
    return layer


def _staged(part, kind, pieces):
    stage, out = part(_layer(kind)), []
    for n, piece in enumerate(pieces):
        out.append(stage(piece, n == len(pieces) - 1))
    return np.concatenate(out).astype(np.float64), np.array([len(y) for y in out])


def _kinds(rng, fresh):
    for kind in ("conv", "dilated", "transposed", "unit", "lstm", "elu"):
        yield kind, [rng.normal(size=(n, 2)).astype(np.float32) for n in (3, 0, 1, 5 + int(fresh))]
    for n in (4, 5):
        yield "conv", [rng.normal(size=(m, 2)).astype(np.float32) for m in (2, n)]


def _codec():
    codec = Codec(CONFIG, np.random.default_rng(4))
    for level in codec.quantizer.levels:
        level.codewords = np.asarray(np.random.default_rng(5).normal(size=level.codewords.shape), np.float32)
    return codec


def _encoded(part, pieces, Q):
    encoder = part(_codec(), Q)
    out = [encoder.push(wav, n == len(pieces) - 1) for n, wav in enumerate(pieces)]
    return np.concatenate(out, axis=1), np.array([codes.shape[1] for codes in out])


def _pieces(rng, fresh):
    for Q, cut in [(2, (47, 1, 51)), (1, (46, 73 + int(fresh)))]:
        yield [rng.normal(size=n).astype(np.float32) for n in cut], Q


def _decoded(part, pieces):
    decoder = part(_codec())
    out = [decoder.push(codes) for codes in pieces]
    return np.concatenate(out).astype(np.float64), np.array([len(wav) for wav in out])


def _frames(rng, fresh):
    yield ([rng.integers(4, size=(2, n)) for n in (1, 2, 3 + int(fresh))],)
    yield ([rng.integers(4, size=(1, n)) for n in (2, 1)],)


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
            ("[: count * bits]", "[: (len(data) * 8 // bits) * bits]", "there are `count` values; the bits behind them only fill a byte"),
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
    of_part(
        "lstm_stream", 16, _sequences, _sent, returned=("y", "state"),
        slips=[
            ("return x + y, newest", "return y, newest", "the skip over the stack is missing"),
            ("[*newest, (h, c)]", "[*newest, (c, h)]", "the state is (h, c), in this order"),
            ("return x + y, newest", "return x + y, state", "the state that comes back is the old one"),
            ("y[t : t + 1], h, c, layer", "x[t : t + 1], h, c, layer", "each layer gets what the one before it made"),
            ("out[t] = h[0]", "out[t] = c[0]", "a layer's output is h"),
        ],
        hint="for each layer, lstm_step from frame to frame; its h is the next layer's input.",
    ),
    of_part(
        "Stage", 16, _kinds, _staged, points=4, returned=("y", "frames of each piece"), rtol=1e-5,
        slips=[
            ("            return x + y\n", "            return y\n", "the residual unit adds to what it was given"),
            ("2 if isinstance(layer, Conv1d) else 1", "2", "the lengths of a ConvTranspose1d belong to its input channels: axis 1"),
            ("if last:", "if False:", "at the end, a Conv1d fills its last window with zeros"),
            ("layer.stride, layer.dilation)", "layer.stride, 1)", "the dilation is left out"),
            ("(K - 1) * layer.dilation + 1 - layer.stride", "(K - 1) * layer.dilation", "less zeros stand on the left where there is a stride"),
            ("            y, self.state = conv_transpose_stream(", "            y, _ = conv_transpose_stream(", "the tail must be kept for the next piece"),
        ],
        hint="isinstance decides; conv_stream, conv_transpose_stream and lstm_stream take and give the state.",
    ),
    of_part(
        "StreamEncoder", 16, _pieces, _encoded, returned=("codes", "frames of each piece"), rtol=0,
        slips=[
            ("quantizer.levels[:Q]]", "quantizer.levels]", "only the first Q levels code"),
            ("x = stage(x, last)", "x = stage(x, False)", "the end is not told to the stages: last"),
            ("x = stage(x, last)", "x = stage(x, True)", "only the last piece is the last"),
            ("Stage(layer) for layer in codec.encoder.layers", "Stage(layer) for layer in codec.encoder.layers[:-2] + codec.encoder.layers[-1:]",
             "the last ELU is left out"),
            ("return residual_encode(x, self.codebooks)", "return residual_encode(x, self.codebooks)[::-1]", "the levels are in the wrong order"),
        ],
        hint="the stages hold the state: a list of Stage(layer), made once.",
    ),
    of_part(
        "StreamDecoder", 16, _frames, _decoded, returned=("wav", "samples of each piece"), rtol=1e-5,
        slips=[
            ("return x[:, 0]", "return x[::-1, 0]", "the sound runs backwards"),
            ("x = stage(x, False)", "x = Stage(stage.layer)(x, False)", "the stages are made anew for each piece, and forget"),
            ("Stage(layer) for layer in codec.decoder.layers", "Stage(layer) for layer in codec.decoder.layers[:-2] + codec.decoder.layers[-1:]", "the last ELU is left out"),
            ("return x[:, 0]", "return 2 * x[:, 0]", "the sound is twice as loud as it should be"),
            ("residual_decode(codes, self.codebooks)", "residual_decode(codes[:1], self.codebooks)", "all levels of the codes count"),
        ],
        hint="residual_decode, then the stages in turn; wav is the only channel.",
    ),
]  # fmt: skip
