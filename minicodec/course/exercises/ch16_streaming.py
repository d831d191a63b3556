"""Chapter 16: streaming and stereo."""

import numpy as np

from minicodec.codec import overlap
from minicodec.course.catalogue import Mistake, of_function
from minicodec.ops.conv1d import conv1d_forward
from minicodec.ops.conv_transpose1d import conv_transpose1d_forward


def conv_stream(x, before, w, stride=1, dilation=1):
    """x (n,Ci), before (m,Ci), w (K,Ci,Co) -> y (count,Co), before (m2,Ci): a convolution, one piece further.

    before: the frames that windows to come still need, from the start of the next window on. y: the answers of all
    windows that are full now, perhaps none. Windows begin `stride` frames apart and are at least that long.
    """
    frames = np.concatenate([before, x])
    count = max(0, (len(frames) - (len(w) - 1) * dilation - 1) // stride + 1)
    if count == 0:
        return np.zeros((0, w.shape[2])), frames
    return conv1d_forward(frames[None], w, stride=stride, dilation=dilation)[0][0], frames[count * stride :]


def _forgets(x, before, w, stride=1, dilation=1):
    pad = np.zeros(((len(w) - 1) * dilation + 1 - stride, x.shape[1]))
    y, before = conv_stream(x, pad, w, stride, dilation)
    return y, before


def _keeps_a_window(x, before, w, stride=1, dilation=1):
    y, _ = conv_stream(x, before, w, stride, dilation)
    frames = np.concatenate([before, x])
    return y, frames[max(0, len(frames) - (len(w) - 1) * dilation) :]


def _keeps_one_more(x, before, w, stride=1, dilation=1):
    y, _ = conv_stream(x, before, w, stride, dilation)
    return y, np.concatenate([before, x])[max(0, len(y) * stride - 1) :]


def _keeps_all(x, before, w, stride=1, dilation=1):
    y, _ = conv_stream(x, before, w, stride, dilation)
    return y, np.concatenate([before, x])


def _pieces(rng, fresh):
    for n, m, K, Ci, Co, stride, dilation in [
        (7, 2, 3, 1, 2, 1, 1), (9, 2, 4, 2, 3, 2, 1), (6, 5, 4, 2, 1, 3, 1), (8, 4, 3, 1, 1, 1, 2),
        (2, 1, 7, 3, 2, 1, 1),
    ]:  # fmt: skip
        n += int(fresh) * int(rng.integers(1, 3))
        options = {"stride": stride} | ({"dilation": dilation} if dilation > 1 else {})
        yield (rng.normal(size=(n, Ci)), rng.normal(size=(m, Ci)), rng.normal(size=(K, Ci, Co))), options
    yield (np.zeros((0, 2)), rng.normal(size=(2, 2)), rng.normal(size=(3, 2, 1))), {}  # an empty piece
    yield (rng.normal(size=(4, 2)), np.zeros((0, 2)), rng.normal(size=(3, 2, 1))), {}  # the first piece


def conv_transpose_stream(x, tail, w, stride):
    """x (n,Ci), tail (K-stride,Co), w (K,Ci,Co) -> y (n*stride,Co), tail (K-stride,Co): one piece further.

    Input frame t adds x[t] @ w[k] to the output frame t·stride + k. y: the output frames to which nothing will be added
    any more. tail: those that later frames will add to, with what they have got so far.
    """
    K, n = len(w), len(x)
    open_frames = np.zeros((max(0, n - 1) * stride + K, w.shape[2]))
    if n:
        open_frames[:] = conv_transpose1d_forward(x[None], w, stride=stride)[0][0]
    open_frames[: len(tail)] += tail
    return open_frames[: n * stride], open_frames[n * stride : n * stride + K - stride]


def _tail_forgotten(x, tail, w, stride):
    return conv_transpose_stream(x, np.zeros_like(tail), w, stride)


def _tail_overwrites(x, tail, w, stride):
    y, after = conv_transpose_stream(x, np.zeros_like(tail), w, stride)
    y[: len(tail)] = tail[: len(y)]
    return y, after


def _tail_too_late(x, tail, w, stride):
    y, after = conv_transpose_stream(x, np.zeros_like(tail), w, stride)
    n = min(len(tail), len(y))
    y[len(y) - n :] += tail[:n]
    return y, after


def _tail_cut(x, tail, w, stride):
    y, after = conv_transpose_stream(x, np.zeros_like(tail), w, stride)
    n = min(len(tail), len(y))
    y[:n] += tail[:n]
    return y, after


def _inputs(rng, fresh):
    for n, K, Ci, Co, stride in [(3, 4, 2, 1, 2), (5, 6, 1, 2, 3), (1, 4, 2, 2, 2), (1, 9, 3, 2, 2), (4, 3, 2, 2, 3)]:
        n += int(fresh) * int(rng.integers(1, 3))
        yield rng.normal(size=(n, Ci)), rng.normal(size=(K - stride, Co)), rng.normal(size=(K, Ci, Co)), stride


def overlap_add(chunks, stride):
    """List of chunks (C,n), stride -> wav (C,T): chunk i begins at sample i·stride; where several lie, a weighted mean.

    Let n0 be the length of the first chunk. Sample i of any chunk has the weight min(i + 1, n0 - i): it rises from the
    edges to the middle of a whole chunk. (Chunks at the end may be shorter; they have the first weights of the same
    triangle.) wav is the sum of weight · sample, divided by the sum of the weights.
    """
    return np.concatenate(list(overlap.overlap_add(iter(chunks), stride)), axis=1)


def _weighted(chunks, stride, weight, divide=True, last=None):
    T = max(i * stride + chunk.shape[1] for i, chunk in enumerate(chunks))
    total, weights = np.zeros((len(chunks[0]), T)), np.zeros(T)
    for i, chunk in enumerate(chunks):
        n = chunk.shape[1]
        own = weight(n if last else chunks[0].shape[1])[:n]
        total[:, i * stride : i * stride + n] += own * chunk
        weights[i * stride : i * stride + n] += own
    return total / weights if divide else total


def _triangle(n):
    return np.minimum(np.arange(n) + 1, n - np.arange(n)) / (n + 1)


def _plain_sum(chunks, stride):
    return _weighted(chunks, stride, np.ones, divide=False)


def _plain_mean(chunks, stride):
    return _weighted(chunks, stride, np.ones)


def _overwritten(chunks, stride):
    wav = np.zeros((len(chunks[0]), max(i * stride + chunk.shape[1] for i, chunk in enumerate(chunks))))
    for i, chunk in enumerate(chunks):
        wav[:, i * stride : i * stride + chunk.shape[1]] = chunk
    return wav


def _not_divided(chunks, stride):
    return _weighted(chunks, stride, lambda n: n * _triangle(n), divide=False)


def _own_triangles(chunks, stride):
    return _weighted(chunks, stride, _triangle, last=True)


def _chunks(rng, fresh):
    more = int(rng.integers(1, 4)) if fresh else 0
    for C, stride, lengths in [(1, 6, [8, 8, 5]), (2, 9, [10, 10, 10]), (2, 7, [8, 8, 1]), (1, 4, [7])]:
        yield [rng.normal(size=(C, n + more)) for n in lengths], stride + (more if len(lengths) > 1 else 0)
    yield [rng.normal(size=(1, n)) for n in (8, 7, 1)], 6  # the last one ends where the one before it does


def hann_overlap_add(chunks, stride):
    """List of chunks (C,n), stride -> wav (C,T): chunk i begins at sample i·stride; where several lie, a weighted mean.

    Let n0 be the length of the first chunk. Sample i of any chunk has the weight sin²(π (i + 1) / (n0 + 1)). (Chunks at
    the end may be shorter; they have the first of these weights.) wav is the sum of weight · sample, divided by the sum
    of the weights.
    """
    return _weighted(chunks, stride, lambda n: np.sin(np.pi * (np.arange(n) + 1) / (n + 1)) ** 2)


def _sine(chunks, stride):
    return _weighted(chunks, stride, lambda n: np.sin(np.pi * (np.arange(n) + 1) / (n + 1)))


def normalised(wav):
    """wav (C,T) -> wav (C,T), scale (): the chunk divided by its scale, and the scale.

    scale: the root of the mean square of the mono mix (the mean of the channels), plus 1e-8.
    """
    scale = np.sqrt((wav.mean(axis=0) ** 2).mean()) + 1e-8
    return wav / scale, scale


def _all_channels(wav):
    scale = np.sqrt((wav**2).mean()) + 1e-8
    return wav / scale, scale


def _deviation(wav):
    scale = wav.mean(axis=0).std() + 1e-8
    return wav / scale, scale


def _peak(wav):
    scale = np.abs(wav).max() + 1e-8
    return wav / scale, scale


def _channels_apart(wav):
    scale = np.sqrt((wav**2).mean(axis=1, keepdims=True)) + 1e-8
    return wav / scale, scale[0, 0]


def _loud_and_quiet(rng, fresh):
    for C, T, level in [(2, 9, 1.0), (1, 20 + int(fresh), 0.01), (2, 15, 30.0)]:
        yield (level * rng.normal(size=(C, T)),)
    yield (np.zeros((2, 4)),)


EXERCISES = [
    of_function(
        conv_stream, 16, _pieces,
        mistakes=(
            Mistake(_forgets, "the frames before are not used: put them in front of x"),
            Mistake(_keeps_a_window, "K - 1 frames are kept; what is needed begins where the next window does"),
            Mistake(_keeps_one_more, "one frame too many is kept: the next window begins at count · stride"),
            Mistake(_keeps_all, "frames that no window will see again are kept"),
        ),
        hint="frames = before, then x; count full windows fit in; the next one begins at frames[count * stride].",
    ),
    of_function(
        conv_transpose_stream, 16, _inputs, points=2,
        mistakes=(
            Mistake(_tail_forgotten, "what earlier pieces had sent to these frames (tail) is missing"),
            Mistake(_tail_overwrites, "the tail is assigned; new frames add to it"),
            Mistake(_tail_cut, "where the tail is longer than y, its end must go on into the new tail"),
            Mistake(_tail_too_late, "the tail is added at the end; it belongs to the first output frames"),
        ),
        hint="n input frames reach (n - 1) · stride + K output frames; the first n · stride of them are done.",
    ),
    of_function(
        overlap_add, 16, _chunks, points=2, rtol=1e-5,
        mistakes=(
            Mistake(_plain_sum, "where chunks overlap they are added; it should be a weighted mean"),
            Mistake(_plain_mean, "a mean without weights: the sound jumps where a chunk begins and ends"),
            Mistake(_overwritten, "where chunks overlap the later one wins; it should be a weighted mean"),
            Mistake(_not_divided, "the sum of the weights is not divided out"),
            Mistake(_own_triangles, "a shorter chunk has its own triangle; it has the first weights of the whole"),
        ),
        hint="add weight · chunk into one array and the weights into another, at i · stride; divide in the end.",
    ),
    of_function(
        hann_overlap_add, 16, _chunks, points=2, variant_of="overlap_add",
        mistakes=(
            Mistake(_sine, "the sine is not squared"),
            Mistake(_plain_mean, "a mean without weights: the sound jumps where a chunk begins and ends"),
        ),
        hint="add weight · chunk into one array and the weights into another, at i · stride; divide in the end.",
    ),
    of_function(
        normalised, 16, _loud_and_quiet,
        mistakes=(
            Mistake(_all_channels, "the mean square is that of all samples; mix the channels first"),
            Mistake(_channels_apart, "each channel has its own scale: left and right would change their balance"),
            Mistake(_deviation, "np.std subtracts the mean first; the scale is the root of the mean SQUARE"),
            Mistake(_peak, "that is the peak; the scale is a root of a mean square"),
        ),
        hint="wav.mean(axis=0) is the mono mix; 1e-8 is there for silence.",
    ),
]  # fmt: skip
