"""Chapter 9."""

import numpy as np

from minicodec.codec.transform import mdct_basis
from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch09_transform import _basis, vorbis_basis
from minicodec.course.my_codec.transform import inverse_mdct, mdct
from minicodec.ops.companding import companding_backward, companding_forward


def _cosine_window(N):
    return _basis(N, lambda u: np.cos(np.pi * u))


def _window_too_short(N):
    return _basis(N, lambda u: np.sin(2 * np.pi * u))


def _whole_samples(N):
    n, k = np.arange(2 * N)[:, None], np.arange(N) + 0.5
    return np.sqrt(2 / N) * np.sin(np.pi * n / (2 * N)) * np.cos(np.pi / N * (n + N / 2) * k)


def _y(x, power, smoothing):
    return companding_forward(x, power=power, smoothing=smoothing)[0]


MISTAKES = {
    "mdct_basis": (
        Mistake(_cosine_window, "the window is a sine: 0 at the edges, largest in the middle"),
        Mistake(_window_too_short, "the window takes all 2N samples for half a period of its sine: divide by 2N"),
        Mistake(_whole_samples, "samples are counted at their middles: n + ½ in the window and in the cosine"),
        Mistake(lambda N: mdct_basis(N).T.copy(), "samples go down and frequencies across: (2N,N)"),
        Mistake(lambda N: mdct_basis(N)[:N], "a window has 2N samples, twice as many as frequencies"),
        Mistake(lambda N: _basis(N, np.sin), "the window's angle goes from 0 to π: a factor π is missing"),
    ),
    "vorbis_basis": (
        Mistake(_cosine_window, "the window is 0 at the edges and largest in the middle"),
        Mistake(lambda N: vorbis_basis(N).T.copy(), "samples go down and frequencies across: (2N,N)"),
    ),
    "companding_forward": (
        Mistake(lambda x, *, power, smoothing: _y(x, 1 / power, smoothing), "that is the way back: the power is p"),
        Mistake(
            lambda x, *, power, smoothing: x * np.abs(x + smoothing) ** (power - 1),
            "s is added to x² under the root, not to x",
        ),
        Mistake(lambda x, *, power, smoothing: x + 0, "nothing was companded"),
        Mistake(
            lambda x, *, power, smoothing: x * (np.abs(x) + smoothing) ** (power - 1),
            "that has a kink at 0: the square root of x² + s² stands in place of |x|",
        ),
    ),
    "companding_backward": (
        Mistake(
            lambda dy, saved, *, power, smoothing: (
                companding_backward(np.ones_like(dy), saved, power=power, smoothing=smoothing)[0],
            ),
            "dy is missing: this is the slope alone",
        ),
        Mistake(
            lambda dy, saved, *, power, smoothing: (dy * saved[0] * saved[2],),
            "that is dy times y; the backward is dy times the slope of y",
        ),
        Mistake(
            lambda dy, saved, *, power, smoothing: (_y(dy, power, smoothing),),
            "dy was companded; it is multiplied by the slope at x",
        ),
    ),
    "mdct": (
        Mistake(lambda x, w: mdct(x, w[::-1]), "w is upside down: its first row meets the window's first sample"),
        Mistake(lambda x, w: mdct(x, w).swapaxes(1, 2), "frames go along the middle axis: (B,Tz,N)"),
        Mistake(lambda x, w: mdct(x, w) * 2, "each number is twice as large as it should be: nothing is scaled here"),
    ),
    "inverse_mdct": (
        Mistake(lambda X, w: inverse_mdct(X, w[::-1]),
                "w is upside down: its first row makes a window's first sample"),
        Mistake(lambda X, w: inverse_mdct(X, w).reshape(X.shape), "the hops stand in a row: x is (B,Tz·N)"),
        Mistake(lambda X, w: inverse_mdct(X, w)[..., None], "x is (B,To): no axis of channels"),
    ),
}  # fmt: skip
