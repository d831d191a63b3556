"""Chapter 6, for my_codec: weights by length and direction, layers, and the two networks."""

from minicodec.course.calling import LAYER, both_ways, use_layer, variable
from minicodec.course.catalogue import of_part


def _normed(part, v, g, dw, axis):
    given = variable(v), variable(g)
    return both_ways(part(*given, axis), given, dw)


def _weights(rng, fresh):
    for shape, axis in [((3, 2, 4), 2), ((2, 3 + int(fresh), 2), 1), ((2, 2, 1, 3), 3)]:
        g = rng.uniform(0.5, 2, size=[n if i == axis else 1 for i, n in enumerate(shape)])
        yield rng.normal(size=shape), g, rng.normal(size=shape), axis


def _convolutions(rng, fresh):
    T = 6 + int(fresh)
    yield (2, 3, 4), {"stride": 2}, rng.normal(size=(2, T, 2)), 1
    yield (1, 2, 3), {"dilation": 2}, rng.normal(size=(1, T, 1)), 2
    yield (3, 3, 1), {}, rng.normal(size=(2, T, 3)), 3


def _upwards(rng, fresh):
    T = 4 + int(fresh)
    yield (4, 2, 4), {"stride": 2}, rng.normal(size=(2, T, 4)), 1
    yield (2, 3, 6), {"stride": 3}, rng.normal(size=(1, T, 2)), 2


def _units(rng, fresh):
    T = 5 + int(fresh)
    yield (4,), {}, rng.normal(size=(2, T, 4)), 1
    yield (3,), {"dilation": 2}, rng.normal(size=(1, T, 3)), 2


def _encoders(rng, fresh):
    yield (2, 3, (2, 3), 1), {}, rng.normal(size=(2, 12 + int(fresh), 1)), 1
    yield (3, 2, (2,), 2), {}, rng.normal(size=(1, 5, 1)), 2


def _decoders(rng, fresh):
    yield (2, 3, (2, 3), 1), {}, rng.normal(size=(2, 2 + int(fresh), 3)), 1
    yield (3, 2, (2,), 2), {}, rng.normal(size=(1, 3, 2)), 2
    yield (2, 2, (2, 1, 2), 1), {}, rng.normal(size=(1, 2, 2)), 3


EXERCISES = [
    of_part(
        "weight_norm", 6, _weights, _normed, returned=("w", "dv", "dg"),
        slips=[
            ("if i != axis)", "if i == axis)", "the norm runs over all axes but `axis`"),
            ("np.sqrt((v.data**2).sum(axis=others, keepdims=True))", "(v.data**2).sum(axis=others, keepdims=True)",
             "the length is a root"),
            ("saved = (v.data / length, length, g.data, others)", "saved = (v.data, length, g.data, others)",
             "the first of `saved` is the direction, v divided by its length"),
            ("saved = (v.data / length, length, g.data, others)", "saved = (v.data / length, g.data, length, others)",
             "`saved` is (direction, length, g, axes), in this order"),
            ("(v, g), lambda", "(g, v), lambda", "parents stand in the order in which send_back gives the gradients: dv, dg"),
            ("(v, g), lambda", "(), lambda", "no gradient comes back: Tensor(w, (v, g), send_back) says what w was made of"),
            ("(v, g), lambda", "(v,), lambda", "w was made of two parents, v and g"),
        ],
        hint="compute w with weight_norm_forward, and make `saved` as the docstring of weight_norm_backward says.",
    ),
    of_part(
        "Conv1d", 6, _convolutions, use_layer, returned=LAYER,
        slips=[
            ("axis=2)", "axis=1)", "weight_g has a length for each output channel: axis 2"),
            (" + self.bias", "", "the bias is missing"),
            ("self.stride, self.dilation) + ", "self.stride, 1) + ", "the dilation is left out"),
            ("np.ones((1, 1, Co))", "np.zeros((1, 1, Co))", "weight_g begins as ones: with zeros nothing goes through"),
            ("self.bias = parameter(np.zeros(Co))", "self.bias = parameter(np.ones(Co))", "the bias begins as zeros"),
            ("np.zeros(Co)", "rng.normal(size=Co)", "the bias begins as zeros, not at random"),
            ("np.zeros(Co)", "np.zeros((Co, 1))", "the bias is (Co), a number for each output channel: (Co,1) runs along time"),
            ("self.stride, self.dilation) + ", "1, self.dilation) + ", "the stride is left out"),
            ("self.stride, self.dilation) + ", "self.dilation, self.stride) + ",
             "stride and dilation are swapped: causal_conv1d(x, w, stride, dilation)"),
            ("np.ones((1, 1, Co))", "np.ones((1, Ci, 1))", "weight_g is (1,1,Co): a length for each output channel"),
            ("rng.normal", "rng.uniform", "weight_v comes from rng.normal, not from rng.uniform"),
            ("rng.normal(size=(K, Ci, Co))", "rng.normal(size=(K, Ci, Co)) / np.sqrt(K * Ci)",
             "weight_v is not scaled: of v only the direction counts, and weight_g is the length"),
            ("(K, Ci, Co)", "(Co, Ci, K)", "weight_v is (K,Ci,Co)"),
            ("self.bias = parameter(np.zeros(Co))",
             "self.bias = parameter(np.zeros(Co)); self.w = weight_norm(self.weight_v, self.weight_g, axis=2)",
             "w is made anew at each call: v and g change while the network learns"),
            ("""self.weight_v = parameter(rng.normal(size=(K, Ci, Co)))
        self.weight_g = parameter(np.ones((1, 1, Co)))
        self.bias = parameter(np.zeros(Co))""", """self.weight_v = Tensor(rng.normal(size=(K, Ci, Co)))
        self.weight_g = Tensor(np.ones((1, 1, Co)))
        self.bias = Tensor(np.zeros(Co))""", "nothing is trained: parameter(array) makes a Tensor that is, Tensor(array) a constant"),
        ],
        hint="weight_v = parameter(rng.normal(size=(K, Ci, Co))), of the rng that came in; when called, w = "
             "weight_norm(weight_v, weight_g, 2), then causal_conv1d, then + bias.",
    ),
    of_part(
        "ConvTranspose1d", 6, _upwards, use_layer, returned=LAYER,
        slips=[
            ("axis=1)", "axis=2)", "weight_g has a length for each INPUT channel: axis 1"),
            (" + self.bias", "", "the bias is missing"),
            ("np.sqrt(Co * stride / Ci)", "1.0", "weight_g begins as sqrt(Co·stride / Ci)"),
            ("np.sqrt(Co * stride / Ci)", "np.sqrt(Co / Ci)", "of the K taps, only every stride-th meets an output: · stride"),
            ("self.bias = parameter(np.zeros(Co))", "self.bias = parameter(np.zeros(Ci))", "the bias has Co numbers"),
            ("np.full((1, Ci, 1),", "np.full((1, 1, Co),", "weight_g is (1,Ci,1): a length for each INPUT channel"),
            ("np.sqrt(Co * stride / Ci)", "Co * stride / Ci", "the root is missing: sqrt(Co·stride / Ci)"),
            ("np.sqrt(Co * stride / Ci)", "np.sqrt(Ci / (Co * stride))", "the root is upside down: sqrt(Co·stride / Ci)"),
            ("x, w, self.stride)", "x, w, 1)", "the stride is left out"),
        ],
        hint="as Conv1d, with axis 1 and causal_conv_transpose1d.",
    ),
    of_part(
        "ResidualUnit", 6, _units, use_layer, returned=LAYER,
        slips=[
            ("return x + y", "return y", "x itself is missing: the unit adds to what it was given"),
            ("[elu, Conv1d(C, C // 2, 3, rng, dilation=dilation)", "[Conv1d(C, C // 2, 3, rng, dilation=dilation)",
             "an ELU stands before each convolution, and has a place in the list"),
            ("Conv1d(C, C // 2, 3, rng, dilation=dilation)", "Conv1d(C, C // 2, 3, rng)", "the dilation is left out"),
            ("C // 2, 3, rng, dilation=dilation), elu, Conv1d(C // 2, C, 1, rng)",
             "C, 3, rng, dilation=dilation), elu, Conv1d(C, C, 1, rng)", "in between there are C//2 channels"),
            ("elu, Conv1d(C // 2, C, 1, rng)]", "elu, Conv1d(C // 2, C, 3, rng)]", "the second convolution has K = 1"),
            ("3, rng, dilation=dilation)", "3, rng, dilation)", "Conv1d's fifth argument is the stride: dilation=dilation"),
            ("[elu, Conv1d(C, C // 2, 3, rng, dilation=dilation), elu, Conv1d(C // 2, C, 1, rng)]",
             "(elu, Conv1d(C, C // 2, 3, rng, dilation=dilation), elu, Conv1d(C // 2, C, 1, rng))",
             "block is a list, not a tuple: `parameters` looks into lists"),
            ("[elu, Conv1d(C, C // 2, 3, rng, dilation=dilation), elu, Conv1d(C // 2, C, 1, rng)]",
             "[Conv1d(C, C // 2, 3, rng, dilation=dilation), Conv1d(C // 2, C, 1, rng)]",
             "the two ELUs stand in the list, too: block has four entries"),
            ("Conv1d(C, C // 2, 3", "Conv1d(C, C / 2, 3", "C // 2 is a whole number, C / 2 is not"),
            ("[elu, Conv1d(C, ", "[elu(), Conv1d(C, ", "elu itself stands in the list, without (): it is called later"),
        ],
        hint="block = [elu, Conv1d(...), elu, Conv1d(...)]; each is called with what the one before it made.",
    ),
    of_part(
        "Encoder", 6, _encoders, use_layer, points=2, returned=LAYER,
        slips=[
            ("            C *= 2\n", "", "C doubles at each stride"),
            ("Conv1d(C, 2 * C, 2 * stride, rng, stride=stride)", "Conv1d(C, 2 * C, 2 * stride, rng)",
             "the convolutions between do not stride: y is as long as x"),
            ("2 * stride, rng, stride", "stride, rng, stride", "the strided convolution has K = 2·stride taps"),
            ("[LSTM(C, lstm_layers, rng), elu,", "[elu,", "the LSTM is missing"),
            ("LSTM(C, lstm_layers, rng), elu, Conv1d(C, D, 7, rng)", "LSTM(C, lstm_layers, rng), Conv1d(C, D, 7, rng)",
             "an ELU stands between LSTM and the last convolution"),
            ("[ResidualUnit(C, rng), elu,", "[elu,", "the residual units are missing"),
            ("[ResidualUnit(C, rng), elu,", "[ResidualUnit(C, rng),",
             "an ELU stands before each strided convolution, and has a place in the list"),
            ("[ResidualUnit(C, rng), elu,", "[elu, ResidualUnit(C, rng),", "the ELU comes after the residual unit"),
            ("[ResidualUnit(C, rng), elu, Conv1d(C, 2 * C, 2 * stride, rng, stride=stride)]",
             "[[ResidualUnit(C, rng), elu, Conv1d(C, 2 * C, 2 * stride, rng, stride=stride)]]",
             "a list stands in the list: layers += [a, b] adds its entries, append adds the list"),
            ("x = layer(x)", "y = layer(x)", "each layer gets what the one before it made: x = layer(x)"),
            ("in strides", "in reversed(strides)", "the encoder takes the strides as they come; the decoder reverses them"),
            ("LSTM(C, lstm_layers, rng)", "LSTM(C, 1, rng)", "the LSTM has `lstm_layers` layers"),
            ("LSTM(C, lstm_layers, rng)", "*[LSTM(C, 1, rng) for _ in range(lstm_layers)]",
             "it is one LSTM of `lstm_layers` layers: its shortcut goes over all of them"),
        ],
        hint="make the list `layers` in a loop over the strides; __call__ hands x from one to the next.",
    ),
    of_part(
        "Decoder", 6, _decoders, use_layer, points=2, returned=LAYER,
        slips=[
            ("reversed(strides)", "strides", "the strides come in the encoder's order; the last comes first"),
            ("self.layers[-1].weight_g = parameter([[[0.1]]])", "pass", "the last lengths, weight_g, begin as 0.1"),
            ("C = filters * 2 ** len(strides)", "C = filters * 2 * len(strides)",
             "C begins as filters · 2 to the power of the number of strides"),
            ("self.layers += [elu, ConvTranspose1d", "self.layers += [ConvTranspose1d",
             "an ELU stands before each transposed convolution, and has a place in the list"),
            ("rng, stride=stride), ResidualUnit(C // 2, rng)]", "rng, stride=stride)]", "the residual units are missing"),
            ("[elu, ConvTranspose1d(C, C // 2, 2 * stride, rng, stride=stride), ResidualUnit(C // 2, rng)]",
             "[ResidualUnit(C, rng), elu, ConvTranspose1d(C, C // 2, 2 * stride, rng, stride=stride)]",
             "in the decoder the residual unit comes after the transposed convolution"),
            ("ResidualUnit(C // 2, rng)", "ResidualUnit(C, rng)", "after the transposed convolution there are C//2 channels"),
            ("self.layers[-1].weight_g = parameter([[[0.1]]])", "self.layers[-1].weight_v.data *= 0.1",
             "the length is weight_g; of weight_v only the direction counts"),
            ("parameter([[[0.1]]])", "0.1 * self.layers[-1].weight_g.data", "weight_g stays a Tensor that is trained: parameter(...)"),
            ("filters * 2 ** len(strides)", "filters", "C begins at its widest, as the encoder left it"),
            ("filters * 2 ** len(strides)", "filters * __import__('math').prod(strides)",
             "channels double at each stride, whatever its size: it is not their product"),
        ],
        hint="the encoder read backwards: C begins at its widest, and halves.",
    ),
]  # fmt: skip
