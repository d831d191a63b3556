"""Chapter 9: a transform codec, before anything is learnt."""

import numpy as np

from minicodec.codec.transform import mdct_basis as library_basis
from minicodec.course.calling import both_ways, variable
from minicodec.course.catalogue import Mistake, of_function, of_op, of_part
from minicodec.course.my_codec.transform import inverse_mdct, mdct, noise_signs
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


def _transformed(rng, fresh):
    for B, T, N in [(2, 12, 4), (1, 14, 4), (3, 5 + int(fresh), 2), (1, 3, 8)]:
        yield rng.normal(size=(B, T)), rng.normal(size=(2 * N, N))  # of any w, not of mdct_basis alone


def _hops(x, N, more):
    return np.pad(x, ((0, 0), (0, -x.shape[1] % N + more * N))).reshape(len(x), -1, N)


def _one_frame_late(x, w):
    N = w.shape[1]
    hops = np.pad(_hops(x, N, 0), ((0, 0), (1, 0), (0, 0)))
    return hops[:, :-1] @ w[:N] + hops[:, 1:] @ w[N:]


def _without_the_last(x, w):
    return mdct(x, w)[:, :-1]


def _not_overlapping(x, w):
    N = w.shape[1]
    padded = np.pad(x, ((0, 0), (0, -x.shape[1] % N + N)))
    count = -(-x.shape[1] // N)
    padded = np.pad(padded, ((0, 0), (0, max(0, 2 * N * count - padded.shape[1]))))
    return padded[:, : 2 * N * count].reshape(len(x), count, 2 * N) @ w


def _first_half_alone(x, w):
    return _hops(x, w.shape[1], 0) @ w[: w.shape[1]]


def _halves_exchanged(x, w):
    N = w.shape[1]
    return mdct(x, np.concatenate([w[N:], w[:N]]))


def _a_frame_too_many(x, w):
    N = w.shape[1]
    hops = np.pad(x, ((0, 0), (0, N - x.shape[1] % N + N))).reshape(len(x), -1, N)
    return hops[:, :-1] @ w[:N] + hops[:, 1:] @ w[N:]


def _painted(rng, fresh):
    for B, T, N in [(2, 3, 4), (1, 1, 3), (3, 4 + int(fresh), 2)]:
        yield rng.normal(size=(B, T, N)), rng.normal(size=(2 * N, N))


def _overlap_lost(X, w):
    return (X @ w[: w.shape[1]].T).reshape(len(X), -1)


def _end_not_cut(X, w):
    N = w.shape[1]
    x = np.zeros((len(X), (X.shape[1] + 1) * N))
    for t in range(X.shape[1]):
        x[:, t * N : (t + 2) * N] += X[:, t] @ w.T
    return x


def _start_cut(X, w):
    return _end_not_cut(X, w)[:, w.shape[1] :]


def _halved(X, w):
    return inverse_mdct(X, w) / 2


def _companded(part, x, power, smoothing, dy):
    given = variable(x)
    return both_ways(part(given, power, smoothing), [given], dy)


def _to_compand(rng, fresh):
    for shape, power, smoothing in [((2, 5, 3), 0.75, 0.2), ((4 + int(fresh),), 4 / 3, 0.3), ((2, 3), 0.5, 1.0)]:
        yield rng.normal(size=shape), power, smoothing, rng.normal(size=shape)


def _shapes(rng, fresh):
    yield from [(5, 8, 3), (40 + int(fresh), 6, 2), (3, 5, 0), (2, 4, 4)]


def _hashed(start, steps=((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1))):
    """Signs by the hash of whole numbers."""
    h = start.astype(np.uint32)
    for shift, factor in steps:
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return 1 - 2 * (h & np.uint32(1)).astype(np.int8)


def _signs(frames, N, first, **options):
    signs = _hashed(np.arange(frames * N).reshape(frames, N), **options)
    signs[:, :first] = 1
    return signs


def _from_the_start(frames, N, first):
    return _signs(frames, N, 0)


def _below(frames, N, first):
    signs = _signs(frames, N, 0)
    signs[:, first:] = 1
    return signs


def _alike_in_all_frames(frames, N, first):
    return np.repeat(_signs(1, N, first), frames, axis=0)


def _frequency_by_frequency(frames, N, first):
    signs = _hashed(np.arange(frames * N).reshape(N, frames).T)
    signs[:, :first] = 1
    return signs


def _bit_upside_down(frames, N, first):
    signs = -_signs(frames, N, 0)
    signs[:, :first] = 1
    return signs


def _zeros_below(frames, N, first):
    signs = _signs(frames, N, 0)
    signs[:, :first] = 0
    return signs


def _signed(part, x, first, dy):
    given = variable(x)
    return both_ways(part(given, first), [given], dy)


def _to_sign(rng, fresh):
    for shape, first in [((2, 5, 6), 2), ((1, 7 + int(fresh), 4), 0)]:
        yield rng.normal(size=shape), first, rng.normal(size=shape)


def _seen_through(part, x, D):
    c = part(x, D)
    if np.shape(c) == np.shape(x):
        raise TypeError("x c cᵀ came back; the components alone are asked for")
    return x @ c @ c.T, c.T @ c


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
    of_function(
        mdct, 9, _transformed, points=2,
        mistakes=(
            Mistake(_one_frame_late, "frame 0 begins at sample 0: no zeros stand before x"),
            Mistake(_without_the_last, "the last frame is missing: zeros after the end fill its window"),
            Mistake(_not_overlapping, "windows overlap by half: frame t begins at sample t·N, not at t·2N"),
            Mistake(_first_half_alone, "a window has 2N samples: its second half meets w[N:]"),
            Mistake(_halves_exchanged, "the halves of w are exchanged: w[:N] meets the window's first N samples"),
            Mistake(_a_frame_too_many, "a frame too many where T is a multiple of N: -T % N zeros fill the last hop"),
        ),
        hint="pad x with -T % N + N zeros, reshape to hops (B,·,N); a window is a hop and the next one: "
             "hops[:, :-1] @ w[:N] + hops[:, 1:] @ w[N:].",
    ),
    of_function(
        inverse_mdct, 9, _painted, points=2,
        mistakes=(
            Mistake(_overlap_lost, "where windows overlap they are added: the second half of each is lost"),
            Mistake(_end_not_cut, "Tz frames make Tz·N samples: what lies beyond is cut off"),
            Mistake(_start_cut, "N samples are cut off at the start; they are cut off at the end"),
            Mistake(_halved, "the sine windows add up to 1 already: nothing is divided by 2"),
        ),
        hint="X @ w[:N].T are the first halves (B,Tz,N), X @ w[N:].T the second, each of which belongs one hop later.",
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
    of_part(
        "companding", 9, _to_compand, _companded, returned=("y", "dx"),
        slips=[
            ("Tensor(y, (x,), lambda dy: (companding_backward(dy, saved, power=power, smoothing=smoothing),))",
             "Tensor(y)", "nothing goes back to x: Tensor(y, (x,), send_back)"),
            ("lambda dy: (companding_backward", "lambda dy: (dy * companding_backward",
             "companding_backward multiplies by dy already"),
            ("(x.data, square, square ** ((power - 1) / 2))", "(x.data, square, square ** (power - 1))",
             "saved ends with (x² + s²)^((p - 1)/2): the exponent is halved"),
            ("(x.data, square, square ** ((power - 1) / 2))", "(x.data, x.data**2, square ** ((power - 1) / 2))",
             "the second of saved is x² + s², not x²"),
            ("companding_backward(dy, saved, power=power", "companding_backward(dy, saved, power=1 / power",
             "the gradient is that of the same power, not of the way back"),
            ("return Tensor(y, (x,), lambda dy: (companding_backward(dy, saved, power=power, smoothing=smoothing),))",
             "return Tensor(y, (x,), lambda dy: (dy,))",
             "dy went back as it came: companding_backward multiplies it by the slope"),
            ("y = companding_forward(x.data, power=power", "y = companding_forward(x.data, power=1 / power",
             "y is that of the way back: the power is p"),
        ],
        hint="y = companding_forward(x.data, ...); saved is (x, x² + s², (x² + s²)^((p - 1)/2)); "
             "Tensor(y, (x,), send_back).",
    ),
    of_function(
        noise_signs, 9, _shapes,
        mistakes=(
            Mistake(_from_the_start, "frequencies below `first` keep their signs: 1"),
            Mistake(_below, "the signs are those of frequencies from `first` on; below, they are 1"),
            Mistake(_alike_in_all_frames, "each frame has signs of its own: frame t begins at number t·N"),
            Mistake(_frequency_by_frequency, "numbers go along a frame first: t·N + k"),
            Mistake(_bit_upside_down, "the last bit is the other way round: 0 makes 1, 1 makes -1"),
            Mistake(_zeros_below, "below `first` there are ones, not zeros: nothing is to be lost"),
            Mistake(lambda frames, N, first: _signs(frames, N, first, steps=((13, 0xC2B2AE35), (16, 1))),
                    "the first step is missing: shift 16, factor 0x85EBCA6B"),
            Mistake(lambda frames, N, first: _signs(frames, N, first, steps=((16, 0x85EBCA6B), (13, 0xC2B2AE35))),
                    "the third step is missing: h xor h >> 16"),
        ),
        hint="h = np.arange(frames * N, dtype=np.uint32).reshape(frames, N); shifts and factors are np.uint32, too.",
    ),
    of_part(
        "with_noise_signs", 9, _to_sign, _signed, returned=("y", "dx"),
        slips=[
            ("Tensor(x.data * signs, (x,), lambda dy: (dy * signs,))", "Tensor(x.data * signs)",
             "nothing goes back to x: Tensor(y, (x,), send_back)"),
            ("lambda dy: (dy * signs,)", "lambda dy: (dy,)", "dy went back as it came; its signs change as those of x"),
            ("Tensor(x.data * signs", "Tensor(np.abs(x.data) * signs", "x keeps its own sign; another is put on top"),
            ("Tensor(x.data * signs", "Tensor(x.data + signs", "the signs multiply x"),
            ("shape[1:], first)", "shape[1:], 0)", "below `first`, signs stay: noise_signs(T, N, first)"),
            ("lambda dy: (dy * signs,)", "lambda dy: (dy * x.data * signs,)",
             "that is dy times y; the slope of y is the sign"),
        ],
        hint="noise_signs(T, N, first) is (T,N), the same for all items; Tensor(y, (x,), send_back).",
    ),
    of_part(
        "principal_components", 9, _frames, _seen_through, points=2, returned=("x c cᵀ", "cᵀ c"),
        slips=[
            ("vectors[:, -D:]", "vectors[:, :D]", "np.linalg.eigh sorts by rising eigenvalues: the largest stand last"),
            ("vectors[:, -D:]", "vectors[-D:].T",
             "eigenvectors are the columns of what np.linalg.eigh returns, not its rows"),
            ("x.T @ x)", "(x - x.mean(axis=0)).T @ (x - x.mean(axis=0)))",
             "a mean was taken off; here the directions are those of the most power, mean included"),
            ("vectors[:, -D:]", "np.eye(x.shape[1])[:, :D]",
             "those are the first D entries; components are directions that mix all of them"),
            ("vectors[:, -D:]", "np.eye(x.shape[1])[:, np.argsort((x**2).sum(axis=0))[-D:]]",
             "those are the D strongest entries; a direction may mix all of them"),
            ("vectors[:, -D:]", "vectors[:, -D:] * np.sqrt(np.maximum(_[-D:], 0))",
             "components have length 1, as np.linalg.eigh returns them: the eigenvalues only sort them"),
            ("vectors[:, -D:]", "vectors[:, 1 - D:]", "one component is missing: D of them"),
            ("vectors[:, -D:]", "vectors[:, -D:].T", "c is (N,D): a component is a column"),
        ],
        hint="values, vectors = np.linalg.eigh(x.T @ x); c = vectors[:, -D:].",
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
