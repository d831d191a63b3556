"""Chapter 16."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch16_streaming import (
    conv_stream,
    conv_transpose_stream,
    hann_overlap_add,
    normalised,
    overlap_add,
)


def _at_least_one(x, before, w, stride=1, dilation=1):
    y, after = conv_stream(x, before, w, stride, dilation)
    return (y if len(y) else np.zeros((1, w.shape[2]))), after


def _stride_ignored(x, before, w, stride=1, dilation=1):
    return conv_stream(x, before, w, 1, dilation)


def _dilation_ignored(x, before, w, stride=1, dilation=1):
    return conv_stream(x, before, w, stride, 1)


def _last_window_lost(x, before, w, stride=1, dilation=1):
    y, _ = conv_stream(x, before, w, stride, dilation)
    return y[:-1], np.concatenate([before, x])[max(0, len(y) - 1) * stride :]


def _all_of_it(x, tail, w, stride):
    y, after = conv_transpose_stream(x, tail, w, stride)
    return np.concatenate([y, after]), after


def _old_tail(x, tail, w, stride):
    return conv_transpose_stream(x, tail, w, stride)[0], tail.copy()


def _flipped(x, tail, w, stride):
    return conv_transpose_stream(x, tail, w[::-1], stride)


def _peaks_of_own(chunks, stride):
    return overlap_add([chunk[:, ::-1] for chunk in chunks], stride)


def _cut_to_strides(chunks, stride):
    return overlap_add(chunks, stride)[:, : stride * len(chunks)]


def _one_after_the_other(chunks, stride):
    return np.concatenate([chunk[:, :stride] for chunk in chunks], axis=1)


def _weighted(chunks, stride, weight):
    T = max(i * stride + chunk.shape[1] for i, chunk in enumerate(chunks))
    total, weights = np.zeros((len(chunks[0]), T)), np.zeros(T)
    for i, chunk in enumerate(chunks):
        n = chunk.shape[1]
        own = weight(chunks[0].shape[1])[:n]
        total[:, i * stride : i * stride + n] += own * chunk
        weights[i * stride : i * stride + n] += own
    return total / weights


def _zero_at_the_edge(n):
    return np.minimum(np.arange(n), n - 1 - np.arange(n)).astype(float)


def _hann_from_zero(n):
    return np.sin(np.pi * np.arange(n) / n) ** 2


MISTAKES = {
    "conv_stream": (
        Mistake(_at_least_one, "a piece may be too short for any window: then y has no frames"),
        Mistake(_stride_ignored, "`stride` is ignored: windows begin `stride` frames apart"),
        Mistake(_dilation_ignored, "`dilation` is ignored: a window is (K - 1)·dilation + 1 frames long"),
        Mistake(_last_window_lost, "one window too few: the last one that is full counts"),
    ),
    "conv_transpose_stream": (
        Mistake(_all_of_it, "frames that later pieces will add to are given out already: y has n·stride"),
        Mistake(_old_tail, "the tail is still the old one"),
        Mistake(_flipped, "the kernel is flipped: x[t] @ w[k] goes to frame t·stride + k"),
    ),
    "overlap_add": (
        Mistake(_peaks_of_own, "the chunks run backwards"),
        Mistake(_cut_to_strides, "the end of the last chunk is cut off: it is heard to its end"),
        Mistake(_one_after_the_other, "each chunk is cut where the next begins; where both sound they are mixed"),
        Mistake(
            lambda chunks, stride: _weighted(chunks, stride, _zero_at_the_edge),
            "0/0 at the edges: the weights begin with 1, not with 0",
        ),
    ),
    "hann_overlap_add": (
        Mistake(
            lambda chunks, stride: _weighted(chunks, stride, _hann_from_zero),
            "0/0 at the first sample: weights are sin²(π (i + 1)/(n0 + 1))",
        ),
        Mistake(
            lambda chunks, stride: hann_overlap_add(chunks, stride)[:, : stride * len(chunks)],
            "the end of the last chunk is cut off: it is heard to its end",
        ),
        Mistake(overlap_add, "those are triangles; the weights are sin²"),
    ),
    "normalised": (
        Mistake(
            lambda wav: (wav / (s := np.sqrt((wav.mean(axis=0) ** 2).mean())), s),
            "0/0 in silence: 1e-8 belongs to the scale",
        ),
        Mistake(
            lambda wav: (normalised(wav)[0], 1 / normalised(wav)[1]),
            "the scale is what was divided by, not its inverse",
        ),
        Mistake(
            lambda wav: (wav / (s := (wav.mean(axis=0) ** 2).mean() + 1e-8), s),
            "the root is missing: a mean square is no amplitude",
        ),
        Mistake(
            lambda wav: (wav / (s := np.sqrt((wav.sum(axis=0) ** 2).mean()) + 1e-8), s),
            "mono is the MEAN of the channels, not their sum",
        ),
    ),
}
