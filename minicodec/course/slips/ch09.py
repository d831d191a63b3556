"""Chapter 9."""

import numpy as np

from minicodec.codec.transform import mdct_basis
from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch09_transform import _basis, project, vorbis_basis
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


def _components(x, D):
    return np.linalg.eigh(x.T @ x)[1][:, -D:]


def _by_svd_of_too_many(x, D):
    v = np.linalg.svd(x, full_matrices=False)[2][: D - 1]
    return x @ v.T @ v


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
    "project": (
        Mistake(lambda x, D: x @ _components(x, D), "these are the D numbers of the latent; multiply by cᵀ to go back"),
        Mistake(_by_svd_of_too_many, "one component is missing: D of them"),
        Mistake(lambda x, D: x - project(x, D), "that is what the components leave out"),
        Mistake(lambda x, D: project(x, D) - project(x, D).mean(axis=0), "a mean was taken off; it belongs to y"),
        Mistake(
            lambda x, D: (x - x.mean(axis=0)) @ _components(x - x.mean(axis=0), D)
            @ _components(x - x.mean(axis=0), D).T + x.mean(axis=0),
            "the mean went around the components: nothing is taken off, and nothing added",
        ),
    ),
}  # fmt: skip
