"""Chapter 4, for my_codec: the causal convolutions of Tensors."""

from minicodec.course.calling import both_ways, variable
from minicodec.course.catalogue import of_part


def _convolved(part, x, w, dy, stride, dilation):
    given = variable(x), variable(w)
    return both_ways(part(*given, stride, dilation), given, dy)


def _signals(rng, fresh):
    more = int(fresh)
    for T, K, stride, dilation in [(5, 3, 1, 1), (7 + more, 4, 2, 1), (9, 3, 1, 3), (8, 6, 3, 1), (4, 1, 1, 1)]:
        Ci, Co = 2, 3 + more
        yield (rng.normal(size=(2, T, Ci)), rng.normal(size=(K, Ci, Co)), rng.normal(size=(2, -(-T // stride), Co)),
               stride, dilation)  # fmt: skip


def _transposed(part, x, w, dy, stride):
    given = variable(x), variable(w)
    return both_ways(part(*given, stride), given, dy)


def _frames(rng, fresh):
    more = int(fresh)
    for T, K, stride in [(3, 4, 2), (4 + more, 6, 3), (1, 2, 2), (5, 3, 1), (2, 5, 2)]:
        yield rng.normal(size=(2, T, 3)), rng.normal(size=(K, 3, 2)), rng.normal(size=(2, T * stride, 2)), stride


RESULTS = ("y", "dx", "dw")
EXERCISES = [
    of_part(
        "causal_conv1d", 4, _signals, _convolved, points=2, returned=RESULTS,
        slips=[
            ("causal_padding(len(w.data), stride, dilation, T)", "causal_padding(len(w.data), stride, dilation, T)[::-1]",
             "left and right are exchanged: the past stands on the left"),
            ("np.pad(x.data, ((0, 0), (left, right), (0, 0)))", "np.pad(x.data, ((0, 0), (left + right, 0), (0, 0)))",
             "what fills the last window belongs on the right"),
            ("return dpadded[:, left : left + T], dw", "return dpadded[:, :T], dw",
             "dx is what remains when the padding is cut off on both sides"),
            ("conv1d_backward(dy, (padded, w.data), stride=stride, dilation=dilation)",
             "conv1d_backward(dy, (padded, w.data), stride=stride)", "the backward needs the dilation, too"),
            ("np.pad(x.data, ((0, 0), (left, right), (0, 0)))", "np.pad(x.data, ((0, 0), (left, right), (0, 0)), 'edge')",
             "the first frame is repeated; the padding is of zeros"),
        ],
        hint="pad, conv1d_forward; then Tensor(y, (x, w), send_back), whose send_back cuts the padding off dx.",
    ),
    of_part(
        "causal_conv_transpose1d", 4, _frames, _transposed, points=2, returned=RESULTS,
        slips=[
            ("full[:, :frames]", "full[:, full.shape[1] - frames :]",
             "frames are cut off on the left; they come off on the right, where later inputs would add to them"),
            ("((0, 0), (0, full.shape[1] - frames), (0, 0))", "((0, 0), (full.shape[1] - frames, 0), (0, 0))",
             "dy is moved: what was cut off on the right gets zeros on the right"),
            ("dswapped.swapaxes(1, 2)", "2 * dswapped.swapaxes(1, 2)", "dw is counted twice"),
            ("conv1d_forward(dfull, swapped, stride=stride)", "conv1d_forward(dfull, swapped[::-1], stride=stride)",
             "the taps of the adjoint run the same way round as those of w"),
            ("conv1d_backward(x.data, (dfull, swapped), stride=stride)",
             "conv1d_backward(x.data, (dfull * 0, swapped), stride=stride)",
             "dw is zero: in the adjoint, dy is what is convolved, and x what arrives at its result"),
        ],
        hint="with w's channels swapped: dx = conv1d_forward(dy, w); dw is that of conv1d_backward(x, (dy, w)), swapped.",
    ),
]  # fmt: skip
