"""Chapter 16, for my_codec: streams."""

import numpy as np

from minicodec.course.catalogue import of_part
from minicodec.course.my_codec.conv import Conv1d, ConvTranspose1d
from minicodec.course.my_codec.lstm import LSTM
from minicodec.course.my_codec.quantizer import Codec
from minicodec.course.my_codec.seanet import ResidualUnit
from minicodec.course.my_codec.tensor import elu, parameters

CONFIG = {"seanet": {"filters": 2, "latent": 3, "strides": (2, 3), "lstm_layers": 1},
          "quantizer": {"levels": 2, "entries": 4}}  # fmt: skip


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
            ("(K - 1) * layer.dilation + 1 - layer.stride", "(K - 1) * layer.dilation", "fewer zeros stand on the left where there is a stride"),
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
