"""Chapter 9: a transform codec, before anything is learnt."""

import numpy as np

from minicodec.codec.transform import mdct_basis as library_basis
from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops.companding import companding_backward, companding_forward


def mdct_basis(N):
    """N -> w (2N,N): what sample n of a window contributes to frequency k.

    w[n,k] = sqrt(2/N) · sin(π (n + ½) / 2N) · cos(π/N · (n + ½ + N/2) · (k + ½))
    """
    return library_basis(N)


def _basis(N, window, phase=0.5, half=0.5, scale=None):
    n, k = np.arange(2 * N)[:, None] + 0.5, np.arange(N) + half
    return (np.sqrt(2 / N) if scale is None else scale) * window(n / (2 * N)) * np.cos(np.pi / N * (n + phase * N) * k)


def _sine(u):
    return np.sin(np.pi * u)


def _no_window(N):
    return _basis(N, np.ones_like)


def _no_shift(N):
    return _basis(N, _sine, phase=0.0)


def _whole_frequencies(N):
    return _basis(N, _sine, half=0.0)


def _scaled_twice(N):
    return _basis(N, _sine, scale=2 / N)


def _hann(N):
    return _basis(N, lambda u: np.sin(np.pi * u) ** 2)


def _sizes(rng, fresh):
    for N in (4, 8, 3 + 2 * int(fresh), 1):
        yield (N,)


def vorbis_basis(N):
    """N -> w (2N,N): as mdct_basis, with the window of Vorbis, sin(π/2 · sin²(π (n + ½) / 2N)), in place of the sine.

    w[n,k] = sqrt(2/N) · window(n) · cos(π/N · (n + ½ + N/2) · (k + ½))
    """
    return _basis(N, _vorbis)


def _vorbis(u):
    return np.sin(np.pi / 2 * np.sin(np.pi * u) ** 2)


def project(x, D):
    """x (n,N), D -> y (n,N): x, seen through the D principal components alone.

    Those are the D orthogonal directions that hold the most power of x: with c (N,D) in its columns the eigenvectors
    of xᵀx (N,N) with the largest eigenvalues, y = x c cᵀ. No mean is taken off.
    """
    _, c = np.linalg.eigh(x.T @ x)
    return x @ c[:, -D:] @ c[:, -D:].T


def _least_power(x, D):
    _, c = np.linalg.eigh(x.T @ x)
    return x @ c[:, :D] @ c[:, :D].T


def _rows(x, D):
    _, c = np.linalg.eigh(x.T @ x)
    return x @ c[-D:].T @ c[-D:]


def _centred(x, D):
    _, c = np.linalg.eigh((x - x.mean(axis=0)).T @ (x - x.mean(axis=0)))
    return x @ c[:, -D:] @ c[:, -D:].T


def _first_entries(x, D):
    return np.where(np.arange(x.shape[1]) < D, x, 0)


def _strongest_entries(x, D):
    order = np.argsort((x**2).sum(axis=0))
    return np.where(np.isin(np.arange(x.shape[1]), order[-D:]), x, 0)


def _frames(rng, fresh):
    for n, N, D in [(40, 6, 2), (30 + int(fresh), 5, 4), (3, 4, 3), (20, 3, 3)]:
        mix = rng.normal(size=(N, N)) * 0.5 ** np.arange(N)[:, None]
        yield rng.normal(size=(n, N)) @ mix + 0.3, D
    # Two columns are silent, and sorting by power would put the loud ones last.
    yield rng.normal(size=(12, 4)) * np.array([3.0, 0.0, 1.0, 0.0]), 2


def _power_alone(x, *, power, smoothing):
    return np.sign(x) * np.abs(x) ** power


def _sign_lost(x, *, power, smoothing):
    return np.abs(companding_forward(x, power=power, smoothing=smoothing)[0])


def _exponent_not_halved(x, *, power, smoothing):
    return x * (x * x + smoothing**2) ** (power - 1)


def _power_halved(x, *, power, smoothing):
    return x * (x * x + smoothing**2) ** (power / 2)


def _smoothing_not_squared(x, *, power, smoothing):
    return x * (x * x + smoothing) ** ((power - 1) / 2)


def _factor_alone(x, *, power, smoothing):
    return (x * x + smoothing**2) ** ((power - 1) / 2)


def _factor_constant(dy, saved, *, power, smoothing):
    return (dy * saved[2],)


def _of_the_power(dy, saved, *, power, smoothing):
    return (dy * power * saved[2],)


def _divided(dy, saved, *, power, smoothing):
    return (dy * dy / companding_backward(dy, saved, power=power, smoothing=smoothing)[0],)


def _inner_slope_forgotten(dy, saved, *, power, smoothing):
    x, square, factor = saved
    return (dy * (factor + x * (power - 1) / 2 * factor / square),)


def _twice_the_power(dy, saved, *, power, smoothing):
    x, square, factor = saved
    return (dy * factor * (1 + 2 * (power - 1) * x * x / square),)


EXERCISES = [
    of_function(
        library_basis, 9, _sizes, name="mdct_basis", task=mdct_basis,
        mistakes=(
            Mistake(_no_window, "the window is missing: a sine that rises and falls within the 2N samples"),
            Mistake(_no_shift, "N/2 is missing beside n + ½: without it, what is folded does not cancel"),
            Mistake(_whole_frequencies, "the frequencies lie at halves: k + ½"),
            Mistake(_scaled_twice, "scale by the square root of 2/N: columns must have length 1"),
            Mistake(_hann, "the window is a sine; squared, it would add up to 1 once, but it is applied twice"),
        ),
        hint="n = np.arange(2 * N)[:, None] + 0.5 is a column, k = np.arange(N) + 0.5 a row.",
    ),
    of_op(
        "companding", "forward", 9,
        mistakes=(
            Mistake(_power_alone, "that is not smoothed at 0: the root is of x² + s²"),
            Mistake(_sign_lost, "the sign is lost: y has that of x"),
            Mistake(_exponent_not_halved, "x² + s² is a square already: the exponent is (p - 1)/2"),
            Mistake(_power_halved, "x stands before the bracket, and so the bracket's exponent is (p - 1)/2, not p/2"),
            Mistake(_smoothing_not_squared, "s is squared, as x is"),
            Mistake(_factor_alone, "that is the factor by which x is multiplied; x itself is missing"),
        ),
        hint="x * (x * x + smoothing**2) ** ((power - 1) / 2).",
    ),
    of_op(
        "companding", "backward", 9,
        mistakes=(
            Mistake(_factor_constant, "the factor depends on x, too: product rule"),
            Mistake(_of_the_power, "p |x|^(p-1) is the slope far from 0; near 0 it is another one"),
            Mistake(_divided, "dy is multiplied by the slope, not divided by it"),
            Mistake(_inner_slope_forgotten, "chain rule: x² has the slope 2x"),
            Mistake(_twice_the_power, "2 too many: the exponent (p - 1)/2 comes down, and the 2 of 2x meets it"),
        ),
        hint="d/dx of x q^e, q = x² + s², is q^e + 2 e x² q^(e-1), with e = (p - 1)/2; saved is (x, q, q^e).",
    ),
    of_function(
        project, 9, _frames, points=2,
        mistakes=(
            Mistake(_least_power, "np.linalg.eigh sorts by rising eigenvalues: the largest stand last"),
            Mistake(_rows, "eigenvectors are the columns of what np.linalg.eigh returns, not its rows"),
            Mistake(_centred, "a mean was taken off; here the directions are those of the most power, mean included"),
            Mistake(_first_entries, "those are the first D entries; components are directions that mix all of them"),
            Mistake(_strongest_entries, "those are the D strongest entries; a direction may mix all of them"),
        ),
        hint="values, vectors = np.linalg.eigh(x.T @ x); c = vectors[:, -D:]; and then there and back.",
    ),
    of_function(
        vorbis_basis, 9, _sizes, variant_of="mdct_basis",
        mistakes=(
            Mistake(library_basis, "this is the sine window; that of Vorbis is the sine of a squared sine"),
            Mistake(lambda N: _basis(N, lambda u: np.sin(np.pi / 2 * np.sin(np.pi * u))), "the inner sine is squared"),
            Mistake(lambda N: _basis(N, _vorbis, phase=0.0), "N/2 is missing beside n + ½: nothing would cancel"),
            Mistake(lambda N: _basis(N, _vorbis, half=0.0), "the frequencies lie at halves: k + ½"),
            Mistake(lambda N: _basis(N, _vorbis, scale=2 / N), "scale by the square root of 2/N"),
        ),
        hint="n = np.arange(2 * N)[:, None] + 0.5 is a column, k = np.arange(N) + 0.5 a row.",
    ),
]  # fmt: skip
