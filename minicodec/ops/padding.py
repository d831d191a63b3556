"""Padding of the time axis, with zeros or with a mirror image [Defossez22, §3.2].

Zero padding in front keeps a causal network truly causal. The released EnCodec models mirror instead ("reflect"):
the signal continues as its own image in the mirror at its first or last frame, that frame itself not repeated:

    frames 0 1 2 3, left 2, right 1, reflect:     2 1 | 0 1 2 3 | 2

A mirror cannot show more than T - 1 frames. A shorter input is treated as `encodec` does: zeros are appended first,
on the right, until there is enough to mirror, and the same number of frames is removed at the end.
"""

from minicodec.backend import Op, xp


def mirrored(x, left, right):
    """Which padded frame is the image of which frame: (positions in y, positions in x), one entry per image."""
    T = x.shape[1]
    last = max(T, left + 1, right + 1) - 1  # the right mirror stands here: behind the appended zeros if x is short
    outside = xp(x).concatenate([xp(x).arange(-left, 0), xp(x).arange(T, T + right)])
    source = last - abs(last - abs(outside))
    seen = source < T  # the other images are of the appended zeros
    return left + outside[seen], source[seen]


def pad1d_forward(x, *, left, right, mode="zero"):
    """x (B,T,C) -> y (B,To,C), To = left + T + right; mode "zero" or "reflect"."""
    if left < 0 or right < 0:
        raise ValueError(f"pad1d: left {left} and right {right} must not be negative")
    if mode not in ("zero", "reflect"):
        raise ValueError(f"pad1d: no mode called {mode!r}: choose zero or reflect")
    B, T, C = x.shape
    y = xp(x).zeros((B, left + T + right, C), x.dtype)
    y[:, left : left + T] = x
    images = mirrored(x, left, right) if mode == "reflect" else None
    if images is not None:
        position, source = images
        y[:, position] = x[:, source]
    return y, (T, images)


def pad1d_backward(dy, saved, *, left, right, mode="zero"):
    """dy (B,To,C) -> dx (B,T,C): a frame gets its own gradient and that of each of its images."""
    T, images = saved
    dx = dy[:, left : left + T].copy()
    if images is not None:
        position, source = images
        xp(dy).add.at(dx, (slice(None), source), dy[:, position])  # adds up when a frame has two images
    return (dx,)


pad1d = Op("pad1d", pad1d_forward, pad1d_backward)
