"""Chapter 5, for my_codec: the LSTM as a layer."""

from minicodec.course.calling import LAYER, use_layer
from minicodec.course.catalogue import of_part


def _run(part, x, w_ih, w_hh, b, h0, c0):
    return part(x, w_ih, w_hh, b, h0, c0)


def _sequences(rng, fresh):
    for B, T, Ci, H in [(2, 4, 3, 2), (1, 5 + int(fresh), 2, 3), (3, 1, 2, 1)]:
        shapes = (B, T, Ci), (Ci, 4 * H), (H, 4 * H), (4 * H,), (B, H), (B, H)
        yield tuple(rng.normal(size=shape) for shape in shapes)
    yield tuple(300 * rng.normal(size=shape) for shape in ((1, 3, 2), (2, 8), (2, 8), (8,), (1, 2), (1, 2)))


def _layers(rng, fresh):
    for H, T in [(2, 3), (3, 4 + int(fresh))]:
        yield (H,), {}, rng.normal(size=(2, T, H)), 3 + int(fresh)


def _stacks(rng, fresh):
    for H, depth in [(2, 1), (3, 2 + int(fresh))]:
        yield (H, depth), {}, rng.normal(size=(2, 3, H)), 5


EXERCISES = [
    of_part(
        "lstm_forward", 5, _sequences, _run, points=2, returned=("y", "gates"),
        slips=[
            ("c = f * c + i * g", "c = i * c + f * g", "the forget gate weighs the old memory, the input gate the new"),
            ("h = o * np.tanh(c)", "h = o * c", "h is o times the tanh of c"),
            ("        g = np.tanh(g)\n", "", "g is the tanh of its share of the sum"),
            ("np.concatenate([h, c], axis=1)", "np.concatenate([c, h], axis=1)", "h stands before c"),
            ("gates[:, t] + h @ w_hh", "gates[:, t]", "the last h has a part in the gates: + h @ w_hh"),
            ("np.concatenate([i, f, g, o], axis=1)", "np.concatenate([i, f, o, g], axis=1)",
             "the gates stand in the order i, f, g, o"),
        ],
        hint="x @ w_ih + b for all frames at once; then frame by frame + h @ w_hh, np.split into four, sigmoid and tanh.",
    ),
    of_part(
        "LSTMLayer", 5, _layers, use_layer, points=2, returned=LAYER,
        slips=[
            ("bound = 1 / np.sqrt(H)", "bound = 1 / H", "the bound of the first weights is 1/sqrt(H)"),
            ("[dh, np.zeros_like(dh)]", "[np.zeros_like(dh), dh]", "in dy, h's half stands first"),
            ("[dh, np.zeros_like(dh)]", "[dh, dh]", "nobody reads c outside: its half of dy is zeros"),
            ("y[..., :H]", "y[..., H:]", "the layer's output is h, not c"),
            ("self.bias = parameter(rng.uniform(-bound, bound, 4 * H))", "self.bias = parameter(np.zeros(4 * H))",
             "bias begins as random numbers, too"),
        ],
        hint="the op is lstm_forward; send_back(dh) fills dy with zeros for c, and takes the first four of lstm_backward.",
    ),
    of_part(
        "LSTM", 5, _stacks, use_layer, returned=LAYER,
        slips=[
            ("return y + x", "return y", "the skip is missing: + x"),
            ("            y = layer(y)\n", "            y = layer(y) + y\n", "the skip goes over all layers, not over each"),
            ("y = layer(y)", "y = layer(x)", "each layer gets what the one before it made"),
            ("self.layers = [", "self.parts = self.layers = [", "the layers are an attribute once: in the list `layers`"),
            ("for _ in range(depth)]", "for _ in range(depth + 1)]", "there is a layer too many"),
        ],
        hint="a list of LSTMLayer(H, rng), one after the other, and the input added in the end.",
    ),
]  # fmt: skip
