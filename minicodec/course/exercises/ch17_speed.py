"""Chapter 17: counting work and traffic, and the rearrangements that make a convolution fast."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function


def conv1d_cost(B, T, K, Ci, Co, stride):
    """Convolution of x (B,T,Ci) with w (K,Ci,Co), float32, without padding -> operations (), bytes (), whole numbers.

    operations: a multiplication and an addition for every tap, input channel and output number. bytes: x and w are
    read once, y (B,To,Co) is written once, 4 bytes a number; To = (T - K) // stride + 1.
    """
    To = (T - K) // stride + 1
    return 2 * B * To * K * Ci * Co, 4 * (B * T * Ci + K * Ci * Co + B * To * Co)


def _additions_forgotten(B, T, K, Ci, Co, stride):
    operations, moved = conv1d_cost(B, T, K, Ci, Co, stride)
    return operations // 2, moved


def _read_per_window(B, T, K, Ci, Co, stride):
    To = (T - K) // stride + 1
    return conv1d_cost(B, T, K, Ci, Co, stride)[0], 4 * (B * To * K * Ci + K * Ci * Co + B * To * Co)


def _numbers_for_bytes(B, T, K, Ci, Co, stride):
    operations, moved = conv1d_cost(B, T, K, Ci, Co, stride)
    return operations, moved // 4


def _weights_for_free(B, T, K, Ci, Co, stride):
    operations, moved = conv1d_cost(B, T, K, Ci, Co, stride)
    return operations, moved - 4 * K * Ci * Co


def _sizes(rng, fresh):
    extra = int(rng.integers(1, 5)) if fresh else 0
    sizes = [(1, 10, 3, 2, 4, 1), (2, 33, 7, 1, 5, 1), (3, 40, 4, 8, 16, 2), (1, 7, 7, 512, 128, 1)]
    for B, T, K, Ci, Co, stride in sizes:
        yield B, T + extra, K, Ci, Co, stride


def conv_transpose1d_cost(B, T, K, Ci, Co, stride):
    """Transposed convolution of x (B,T,Ci) with w (K,Ci,Co), float32 -> operations (), bytes (), whole numbers.

    operations: each frame of x meets each tap, a multiplication and an addition for every pair of channels. bytes: x
    and w are read once, y (B,To,Co) is written once, 4 bytes a number; To = (T - 1)·stride + K, nothing is trimmed.
    """
    To = (T - 1) * stride + K
    return 2 * B * T * K * Ci * Co, 4 * (B * T * Ci + K * Ci * Co + B * To * Co)


def _work_per_output(B, T, K, Ci, Co, stride):
    return 2 * B * ((T - 1) * stride + K) * K * Ci * Co, conv_transpose1d_cost(B, T, K, Ci, Co, stride)[1]


def _output_as_long_as_input(B, T, K, Ci, Co, stride):
    return conv_transpose1d_cost(B, T, K, Ci, Co, stride)[0], 4 * (B * T * Ci + K * Ci * Co + B * T * Co)


def least_time(operations, moved, peak, bandwidth):
    """operations (n), moved (n) bytes, peak in operations/s, bandwidth in bytes/s -> seconds (n), at the least.

    A core moves numbers and computes at the same time: the slower of the two decides.
    """
    return np.maximum(operations / peak, moved / bandwidth)


def _one_after_the_other(operations, moved, peak, bandwidth):
    return operations / peak + moved / bandwidth


def _the_faster(operations, moved, peak, bandwidth):
    return np.minimum(operations / peak, moved / bandwidth)


def _loads(rng, fresh):
    for n in (1, 4, 7 + int(fresh)):
        yield 10 ** rng.uniform(4, 10, size=n), 10 ** rng.uniform(4, 8, size=n), 10 ** rng.uniform(10, 12), 1e10


def window_rows(x, K, stride):
    """x (B,T,Ci) -> rows (B,To,K*Ci): row t is what the window of y[t] sees, frame after frame.

    To = (T - K) // stride + 1. conv1d(x, w) is then rows @ w.reshape(K * Ci, Co).
    """
    windows = np.lib.stride_tricks.sliding_window_view(x, K, axis=1)[:, ::stride]  # (B,To,Ci,K)
    return windows.swapaxes(2, 3).reshape(len(x), windows.shape[1], -1)


def _channels_outside(x, K, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, K, axis=1)[:, ::stride]
    return windows.reshape(len(x), windows.shape[1], -1)


def _windows_apart(x, K, stride):
    B, T, Ci = x.shape
    return x[:, : T // K * K].reshape(B, T // K, K * Ci)


def _first_windows(x, K, stride):
    return window_rows(x, K, 1)[:, : (x.shape[1] - K) // stride + 1]


def _one_too_few(x, K, stride):
    return window_rows(x[:, :-1], K, stride)


def _signals(rng, fresh):
    extra = int(rng.integers(1, 4)) if fresh else 0
    for B, T, Ci, K, stride in [(1, 6, 2, 3, 1), (2, 9, 3, 2, 1), (2, 11, 2, 4, 2), (1, 5, 1, 5, 3)]:
        yield rng.normal(size=(B, T + extra, Ci)), K, stride


def pack_panels(w, columns):
    """w (P,N) -> panels (J,P,columns), J = ceil(N / columns): w, cut into groups of columns.

    panels[j, p, n] is w[p, j * columns + n]. Where the last panel has more columns than are left of w, they are 0.
    """
    P, N = w.shape
    J = -(-N // columns)
    padded = np.zeros((P, J * columns), w.dtype)
    padded[:, :N] = w
    return np.ascontiguousarray(padded.reshape(P, J, columns).swapaxes(0, 1))


def _only_reshaped(w, columns):
    panels = pack_panels(w, columns)
    return panels.swapaxes(0, 1).reshape(panels.shape)


def _last_panel_lost(w, columns):
    return pack_panels(w, columns)[: w.shape[1] // columns]


def _last_panel_overlaps(w, columns):
    panels = pack_panels(w, columns)
    panels[-1] = w[:, -columns:] if w.shape[1] >= columns else panels[-1]
    return panels


def _weights(rng, fresh):
    extra = int(rng.integers(1, 4)) if fresh else 0
    for P, N, columns in [(3, 8, 4), (5, 10, 4), (2, 3, 4), (6, 9 + extra, 2)]:
        yield rng.normal(size=(P, N)), columns
    yield rng.normal(size=(2, 5)).astype(np.float32), 3


def blocked_sum(terms, depth):
    """terms (P) float32 -> total () float32: the sum of the sums of blocks of `depth` terms.

    Blocks begin at 0, depth, 2·depth, ...; the last may be shorter. A block's terms are added one after the other, from
    the first to the last, beginning with 0; then the blocks' sums, likewise. Every single result is rounded to float32.
    """
    total = np.float32(0)
    for first in range(0, len(terms), depth):
        part = np.float32(0)
        for term in terms[first : first + depth]:
            part = part + term
        total = total + part
    return total


def _one_long_sum(terms, depth):
    return blocked_sum(terms, len(terms))


def _as_numpy_likes(terms, depth):
    return terms.sum()


def _in_float64(terms, depth):
    return np.float32(terms.astype(np.float64).sum())


def _blocks_from_the_end(terms, depth):
    parts = np.array([blocked_sum(terms[first : first + depth], depth) for first in range(0, len(terms), depth)])
    return blocked_sum(parts[::-1], len(parts))


def _terms(rng, fresh):
    """Terms that cancel: what is left of them is 1 and the rounding, so that another order gives another number."""
    for P, depth in [(1001, 256), (513, 100), (15, 4), (2001 + 2 * int(fresh), 64), (7, 8)]:
        half = (1000 * rng.normal(size=P // 2)).astype(np.float32)
        yield rng.permutation(np.concatenate([half, -half, np.ones(1, np.float32)])), depth
    yield np.ones(1, np.float32), 4


EXERCISES = [
    of_function(
        conv1d_cost, 17, _sizes,
        mistakes=(
            Mistake(_additions_forgotten, "only the multiplications are counted: each comes with an addition"),
            Mistake(_read_per_window, "x is counted once for every window that sees it; it has to come only once"),
            Mistake(_weights_for_free, "the weights have to be read, too"),
            Mistake(_numbers_for_bytes, "these are numbers, not bytes: a float32 has 4"),
        ),
        hint="y has B·To·Co numbers, and each is a sum of K·Ci products.",
    ),
    of_function(
        conv_transpose1d_cost, 17, _sizes, variant_of="conv1d_cost",
        mistakes=(
            Mistake(_work_per_output, "not every frame of y meets every tap: count from the frames of x"),
            Mistake(_output_as_long_as_input, "y is longer than x: To = (T - 1)·stride + K"),
        ),
        hint="each number of x meets K·Co weights, and each meeting is a multiplication and an addition.",
    ),
    of_function(
        least_time, 17, _loads,
        mistakes=(
            Mistake(_one_after_the_other, "the times are added, but a core computes while numbers are on their way"),
            Mistake(_the_faster, "that is the faster of the two, which has to wait for the other"),
        ),
        hint="work takes operations / peak, traffic bytes / bandwidth, and both happen at once.",
    ),
    of_function(
        window_rows, 17, _signals,
        mistakes=(
            Mistake(_channels_outside, "in a row, the channels of a frame stand together: frame after frame"),
            Mistake(_windows_apart, "the windows do not overlap here: window t begins at frame t·stride"),
            Mistake(_one_too_few, "the last window is missing: there are (T - K) // stride + 1"),
            Mistake(_first_windows, "the windows do not move by `stride`"),
        ),
        hint="row t is x[:, t·stride : t·stride + K], written in one line of K·Ci numbers.",
    ),
    of_function(
        pack_panels, 17, _weights,
        mistakes=(
            Mistake(_only_reshaped, "a reshape alone keeps the order in memory: a panel takes rows from all of w"),
            Mistake(_last_panel_lost, "the last panel, which is not full, is missing"),
            Mistake(_last_panel_overlaps, "the last panel repeats columns of the one before it; fill up with 0"),
        ),
        hint="pad with zeros to J·columns columns; panel j is then w[:, j·columns : (j + 1)·columns].",
    ),
    of_function(
        blocked_sum, 17, _terms, rtol=0.0,
        mistakes=(
            Mistake(_one_long_sum, "that is one long sum: begin anew after every `depth` terms, then add the sums"),
            Mistake(_as_numpy_likes, "np.sum adds in an order of its own, several sums side by side"),
            Mistake(_in_float64, "every sum must be rounded to float32 at once: here one is rounded at the end"),
            Mistake(_blocks_from_the_end, "the blocks are added from the last to the first"),
        ),
        hint="two loops, and np.float32(0) to begin with: float32 + float32 is rounded to float32.",
    ),
]  # fmt: skip
