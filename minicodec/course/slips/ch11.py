"""Chapter 11."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch11_discriminator import feature_matching, hinge_backward, least_squares_backward
from minicodec.ops import conv2d as library


def _cut(y, x, w, options):
    shape = library.conv2d_forward(x, w, **options)[0].shape
    return y[:, : shape[1], : shape[2]]


def _dilation_ignored(x, w, **options):
    return _cut(library.conv2d_forward(x, w, **(options | {"dilation": (1, 1)}))[0], x, w, options)


def _stride_ignored(x, w, **options):
    return _cut(library.conv2d_forward(x, w, **(options | {"stride": (1, 1)}))[0], x, w, options)


def _padding_ignored(x, w, **options):
    return library.conv2d_forward(x, w, **(options | {"padding": (0, 0)}))


def _one_tap(x, w, **options):
    only = np.zeros_like(w)
    only[-1, -1] = w[-1, -1]
    return library.conv2d_forward(x, only, **options)


def _places(dy, saved, *, stride=(1, 1), dilation=(1, 1), padding=(0, 0)):
    """dx if, output by output, what comes later replaces what was there."""
    padded, w = saved
    dpadded = np.zeros_like(padded)
    for t in range(dy.shape[1]):
        for f in range(dy.shape[2]):
            for k in range(w.shape[0]):
                for m in range(w.shape[1]):
                    place = t * stride[0] + k * dilation[0], f * stride[1] + m * dilation[1]
                    dpadded[:, place[0], place[1]] = dy[:, t, f] @ w[k, m].T
    (pt, pf), (T, F) = padding, padded.shape[1:3]
    dw = library.conv2d_backward(dy, saved, stride=stride, dilation=dilation, padding=padding)[1]
    return dpadded[:, pt : T - pt, pf : F - pf], dw


def _changed(dx=lambda dx, dy: dx, dw=lambda dw, dy: dw):
    def run(dy, saved, **options):
        right = library.conv2d_backward(dy, saved, **options)
        return dx(right[0], dy), dw(right[1], dy)

    return run


def _squares(real, fake):
    return float(np.mean([((r - f) ** 2).mean() / np.abs(r).mean() for r, f in zip(real, fake, strict=True)]))


def _mean_first(real, fake):
    return float(np.mean([abs((r - f).mean()) / np.abs(r).mean() for r, f in zip(real, fake, strict=True)]))


def _divided_by_mean(real, fake):
    return float(np.mean([np.abs(r - f).mean() / abs(r.mean()) for r, f in zip(real, fake, strict=True)]))


def _no_means(real, fake):
    dreal, dfake = least_squares_backward(real, fake)
    return dreal * real.size, dfake * fake.size


def _of_all_entries(real, fake):
    r, f = (np.concatenate([a.ravel() for a in maps]) for maps in (real, fake))
    return float(np.abs(r - f).mean() / np.abs(r).mean())


MISTAKES = {
    "conv2d_forward": (
        Mistake(_dilation_ignored, "`dilation` is ignored: tap (k, m) lies k·dt frames and m·df bins ahead"),
        Mistake(_stride_ignored, "`stride` is ignored: windows are st frames and sf bins apart"),
        Mistake(_padding_ignored, "`padding` is ignored: pt zeros on both sides in time, pf in frequency"),
        Mistake(_one_tap, "y is assigned where it should be added to (+=): only the last tap is left"),
    ),
    "conv2d_backward": (
        Mistake(_places, "dx is assigned place by place; windows overlap, so add (+=)"),
        Mistake(_changed(dw=lambda dw, dy: dw / dy[..., 0].size), "dw is a sum over items and places, not a mean"),
        Mistake(_changed(dx=lambda dx, dy: np.zeros_like(dx)), "dx is zero: is it ever written to?"),
    ),
    "hinge_backward": (
        Mistake(
            lambda real, fake: tuple(np.abs(g) for g in hinge_backward(real, fake)),
            "dreal is negative: an opinion that rises makes this loss smaller",
        ),
        Mistake(
            lambda real, fake: hinge_backward(-real, -fake),
            "the sides are confused: recordings push where real < 1, decodings where fake > -1",
        ),
        Mistake(
            lambda real, fake: (np.where(real < 2, -1 / real.size, 0.0), np.where(fake > -2, 1 / fake.size, 0.0)),
            "the margins are 1 and -1",
        ),
    ),
    "feature_matching": (
        Mistake(_squares, "these are squares; magnitudes are asked for"),
        Mistake(_mean_first, "first magnitudes, then the mean: else they cancel"),
        Mistake(_divided_by_mean, "mean |real|, not |mean real|: magnitudes first"),
        Mistake(_of_all_entries, "one mean over all layers' entries; each layer has a distance of its own"),
        Mistake(lambda real, fake: feature_matching(real[-1:], fake[-1:]), "only the last layer was compared"),
    ),
    "least_squares_backward": (
        Mistake(_no_means, "the loss takes means: each entry counts 1/size"),
        Mistake(
            lambda real, fake: (-least_squares_backward(real, fake)[0], least_squares_backward(real, fake)[1]),
            "the sign of dreal: (1 - real)² falls when real rises to 1",
        ),
        Mistake(
            lambda real, fake: (2 * real / real.size, 2 * fake / fake.size),
            "recordings are drawn to 1 and decodings to -1, not both to 0",
        ),
    ),
}  # fmt: skip
