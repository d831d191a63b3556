"""Chapter 17."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch17_speed import (
    blocked_sum,
    conv1d_cost,
    conv_transpose1d_cost,
    least_time,
    pack_panels,
    window_rows,
)


def _transposed_panels(w, columns):
    return pack_panels(w, columns).swapaxes(1, 2)


def _rows_for_columns(w, columns):
    P, N = w.shape
    J = -(-P // columns)
    padded = np.zeros((J * columns, N), w.dtype)
    padded[:P] = w
    return padded.reshape(J, columns, N)


def _zeros_in_front(w, columns):
    missing = -w.shape[1] % columns
    return pack_panels(np.pad(w, ((0, 0), (missing, 0))), columns)


def _every_nth(w, columns):
    P, N = w.shape
    J = -(-N // columns)
    padded = np.pad(w, ((0, 0), (0, J * columns - N)))
    return padded.reshape(P, columns, J).transpose(2, 0, 1)


def _whole_blocks(terms, depth):
    return blocked_sum(terms[: len(terms) // depth * depth], depth)


def _only_the_last(terms, depth):
    return blocked_sum(terms[(len(terms) - 1) // depth * depth :], depth)


def _interleaved(terms, depth):
    n = -(-len(terms) // depth)
    return np.float32(sum((blocked_sum(terms[i::n], len(terms)) for i in range(n)), np.float32(0)))


def _backwards(x, K, stride):
    return window_rows(x, K, stride)[..., ::-1]


MISTAKES = {
    "conv1d_cost": (
        Mistake(lambda B, T, K, Ci, Co, s: conv1d_cost(1, T, K, Ci, Co, s), "the batch is left out: B items"),
        Mistake(lambda B, T, K, Ci, Co, s: conv1d_cost(B, T, K, Ci, Co, 1), "`stride` is ignored: y has fewer frames"),
        Mistake(
            lambda *a: tuple(float(n) for n in conv1d_cost(*a)),
            "the results are floats; they are whole numbers: // instead of /",
        ),
        Mistake(lambda *a: (conv1d_cost(*a)[0], 2 * conv1d_cost(*a)[1]), "a float32 has 4 bytes; 8 are a float64's"),
    ),
    "conv_transpose1d_cost": (
        Mistake(
            lambda *a: (conv_transpose1d_cost(*a)[0] // 2, conv_transpose1d_cost(*a)[1]),
            "only the multiplications are counted: each comes with an addition",
        ),
        Mistake(
            lambda *a: (conv_transpose1d_cost(*a)[0], conv_transpose1d_cost(*a)[1] // 4),
            "these are numbers, not bytes: a float32 has 4",
        ),
        Mistake(lambda B, *a: conv_transpose1d_cost(1, *a), "the batch is left out: B items"),
    ),
    "least_time": (
        Mistake(lambda o, m, p, b: o / p, "traffic is left out: numbers have to come from memory"),
        Mistake(lambda o, m, p, b: m / b, "work is left out: numbers have to be multiplied, too"),
        Mistake(lambda o, m, p, b: np.maximum(o * p, m * b), "work divided by speed is time, not work times speed"),
        Mistake(lambda o, m, p, b: least_time(o, m, p, b).max(), "one time for each entry, not the largest of all"),
    ),
    "window_rows": (
        Mistake(_backwards, "a row runs backwards: frame after frame, as they come"),
        Mistake(lambda x, K, s: window_rows(x[:1], K, s), "only the first item of the batch is there"),
        Mistake(
            lambda x, K, s: window_rows(x, K, s).reshape(*window_rows(x, K, s).shape[:2], K, -1),
            "frames and channels of a row are one axis of K·Ci numbers",
        ),
    ),
    "pack_panels": (
        Mistake(_transposed_panels, "a panel is (P,columns): its rows are rows of w"),
        Mistake(_zeros_in_front, "the zeros stand at the end of the last panel, not in front of the first"),
        Mistake(_every_nth, "panel j holds neighbouring columns, from j·columns on"),
        Mistake(_rows_for_columns, "w is cut into groups of columns, not of rows"),
    ),
    "blocked_sum": (
        Mistake(_whole_blocks, "the last block, which is shorter, is left out"),
        Mistake(_only_the_last, "only the last block is there: add up the blocks' sums"),
        Mistake(_interleaved, "a block holds neighbours: terms[first : first + depth]"),
    ),
}
