"""Chapter 11, for my_codec: the discriminators, and what both players learn from."""

import numpy as np

from minicodec.course.calling import LAYER, array_of, both_ways, flat, moved, use_layer, variable
from minicodec.course.catalogue import of_part
from minicodec.course.my_codec.tensor import gradients


def _convolved(part, x, w, dy, stride, dilation):
    given = variable(x), variable(w)
    return both_ways(part(*given, stride, dilation), given, dy)


def _images(rng, fresh):
    more = int(fresh)
    for T, F, K, stride, dilation in [(4, 5 + more, (3, 3), (1, 1), (1, 1)), (5, 7, (3, 5), (1, 2), (2, 1))]:
        dy = rng.normal(size=(2, -(-T // stride[0]), -(-F // stride[1]), 2))
        yield rng.normal(size=(2, T, F, 3)), rng.normal(size=(*K, 3, 2)), dy, stride, dilation


def _entries(part, x, dy):
    given = variable(x)
    return both_ways(part(given), [given], dy)


def _signed(rng, fresh):
    yield rng.normal(size=(2, 5 + int(fresh))), rng.normal(size=(2, 5 + int(fresh)))
    yield np.array([-1e6, -0.5, 0.0, 0.5]), rng.normal(size=4)


def _layers(rng, fresh):
    F = 5 + int(fresh)
    yield (2, 3, (3, 3)), {"stride": (1, 2)}, rng.normal(size=(1, 4, F, 2)), 1
    yield (2, 2, (3, 5)), {"dilation": (2, 1)}, rng.normal(size=(2, 4, F, 2)), 2
    yield (2, 1, (3, 3)), {"last": True}, rng.normal(size=(1, 3, F, 2)), 3


def _judged(part, n_fft, C, x, seed):
    judge = part(n_fft, C, np.random.default_rng(seed))
    own, given = moved(judge), variable(x)
    logits, maps = judge(given)
    dy = np.random.default_rng(seed + 1).normal(size=array_of(logits).shape)
    (dx, *_) = gradients(logits, [given], dy)
    return " ".join(own), logits.data, dx, flat([array_of(a) for a in maps]), np.array([len(maps)])


def _sounds(rng, fresh):
    yield 32, 2, rng.normal(size=(1, 60 + int(fresh), 1)), 1
    yield 16, 1, rng.normal(size=(2, 40, 1)), 2


def _two_sides(part, real, fake):
    r, f = [variable(a) for a in real], [variable(a) for a in fake]
    return both_ways(part(r, f), [*r, *f])


def _opinions(rng, fresh):
    for shapes in ([(2, 3, 4, 1), (2, 5, 2, 1)], [(1, 2 + int(fresh), 3, 1)]):
        yield [2 * rng.normal(size=shape) for shape in shapes], [2 * rng.normal(size=shape) for shape in shapes]


def _one_side(part, fake):
    f = [variable(a) for a in fake]
    return both_ways(part(f), f)


def _features(part, real, fake):
    f = [variable(a) for a in fake]
    return both_ways(part(real, f), f)


EXERCISES = [
    of_part(
        "conv2d", 11, _images, _convolved, points=2, returned=("y", "dx", "dw"),
        slips=[
            ("(w.data.shape[i] - 1) * dilation[i] // 2", "(w.data.shape[i] - 1) // 2", "the padding grows with the dilation"),
            ("(w.data.shape[i] - 1) * dilation[i] // 2", "(w.data.shape[i] - 1) * dilation[i]", "half of it stands on each side: // 2"),
            ("(padded, w.data), **options", "(padded * 0, w.data), **options", "dw is zero: `saved` holds x with its padding"),
            ("return Tensor(y, (x, w), lambda dy: conv2d_backward(dy", "return Tensor(y, (x, w), lambda dy: conv2d_backward(2 * dy",
             "the gradients are twice as large as they should be"),
            ("padded = np.pad(x.data,", "padded = np.pad(np.abs(x.data),", "`saved` holds x as it was"),
        ],
        hint="conv2d_forward pads by itself; conv2d_backward wants `saved` = (x with its padding, w).",
    ),
    of_part(
        "leaky_relu", 11, _signed, _entries, returned=("y", "dx"),
        slips=[
            ("1, 0.2)", "1, 0.0)", "that is ReLU: below 0 the slope is 0.2"),
            ("1, 0.2)", "1, 0.1)", "the slope below 0 is 0.2"),
            ("1, 0.2)", "0.2, 1)", "the sides are exchanged"),
            ("1, 0.2)", "1, -0.2)", "below 0 the result is negative: that is nearly |x|"),
            ("x * slope", "x * (slope * slope)", "below 0 the slope is 0.2, not 0.04"),
        ],
        hint="a Tensor times an array of slopes is what `*` of a Tensor computes, gradient included.",
    ),
    of_part(
        "Conv2d", 11, _layers, use_layer, returned=LAYER,
        slips=[
            ("y if self.last else leaky_relu(y)", "leaky_relu(y)", "the last layer has no LeakyReLU"),
            ("y if self.last else leaky_relu(y)", "y", "LeakyReLU is missing"),
            ("axis=3)", "axis=2)", "weight_g has a length for each output channel: axis 3"),
            (" + self.bias", "", "the bias is missing"),
            ("np.sqrt(2 / 1.04)", "1.0", "weight_g begins as sqrt(2 / 1.04)"),
        ],
        hint="as Conv1d: weight_norm with axis 3, conv2d, + bias; then leaky_relu.",
    ),
    of_part(
        "Judge", 11, _sounds, _judged, points=2, rtol=1e-5,
        returned=("names of the parameters", "logits", "dx", "the feature maps", "how many maps"),
        slips=[
            ("return maps[-1], maps[1:-1]", "return maps[-1], maps[1:]", "the logits are no feature map"),
            ("return maps[-1], maps[1:-1]", "return maps[-1], maps[:-1]", "the STFT is no feature map"),
            ("for d in (1, 2, 4)", "for d in (1, 2, 3)", "the dilations are 1, 2 and 4"),
            ("stride=(1, 2), dilation=(d, 1)", "stride=(2, 1), dilation=(d, 1)", "the stride is in frequency, the second axis"),
            ("stride=(1, 2), dilation=(d, 1)", "stride=(1, 2), dilation=(1, d)", "the dilation is in time, the first axis"),
            ("rng, last=True)", "rng)", "the logits have no LeakyReLU: last=True"),
        ],
        hint="keep what every convolution makes in a list: the last are the logits, those between are the maps.",
    ),
    of_part(
        "discriminator_loss", 11, _opinions, _two_sides, returned=("loss", "dreal"),
        slips=[
            ("np.maximum(0, 1 - r.data).mean() + ", "", "recordings count, too: mean max(0, 1 - real)"),
            ("np.maximum(0, 1 + f.data)", "np.maximum(0, 1 - f.data)", "decodings should get less than -1: 1 + fake"),
            (" * (1 / len(losses))", "", "the mean over the scales is asked for, not the sum"),
            ("(dl * both[0], dl * both[1])", "(dl * both[0], -dl * both[1])", "the sign of dfake is wrong"),
            ("np.maximum(0, 1 + f.data)", "(1 + f.data)", "what is said clearly enough costs nothing: max(0, …)"),
        ],
        hint="for each scale Tensor(value, (r, f), send_back) with both gradients of hinge_backward.",
    ),
    of_part(
        "adversarial_loss", 11, lambda rng, fresh: ((fake,) for _, fake in _opinions(rng, fresh)), _one_side,
        returned=("loss", "dfake"),
        slips=[
            ("np.maximum(0, 1 - f.data)", "np.maximum(0, 1 + f.data)", "the decoder wants to be taken for a recording: 1 - fake"),
            ("np.maximum(0, 1 - f.data)", "(1 - f.data)", "more than 1 costs nothing: max(0, …)"),
            (" * (1 / len(losses))", "", "the mean over the scales is asked for, not the sum"),
            ("(dl * df,)", "(-dl * df,)", "the sign of dfake is wrong"),
            ("df, _ = hinge", "_, df = hinge", "the gradient is hinge_backward's first: that of what should be above 1"),
        ],
        hint="decodings in the place of recordings: the first half of the discriminator's loss.",
    ),
    of_part(
        "feature_loss", 11, _opinions, _features, points=2, returned=("loss", "dfake"),
        slips=[
            ("dl / len(fake)", "dl", "of a mean over the layers, each gets its share"),
            ("np.sign(f.data - r)", "np.sign(r - f.data)", "the sign of the gradient is wrong"),
            ("(r.size * np.abs(r).mean())", "r.size", "the gradient is divided by mean |real|, too"),
            ("(r.size * np.abs(r).mean())", "np.abs(r).mean()", "of a mean, each entry gets its share: / size"),
            ("np.sign(f.data - r)", "(f.data - r)", "the slope of |x| is its sign"),
        ],
        hint="feature_matching has the value; send_back gives one gradient for each of the Tensors in fake.",
    ),
]  # fmt: skip
