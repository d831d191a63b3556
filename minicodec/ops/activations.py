"""Functions of one number, applied to each entry: activations first, then exp, log, sqrt, abs and a constant floor.

    elu         x for x > 0, else eˣ - 1               encoder and decoder [Defossez22, §3.2]; α = 1
    leaky_relu  x for x > 0, else slope · x            the discriminator [Defossez22, §3.4]; slope 0.2
    gelu        x · Φ(x), Φ the normal distribution    the language model's feed-forward layers [Hendrycks16]

With y = f(x), every backward here is dx = dy · f'(x), and f'(x) is written with y where that is shorter than with x,
and loses no digits.
"""

import math

from minicodec.backend import Op, xp


def elu_forward(x):
    """x (*x) -> y (*x), y = x where x > 0, else eˣ - 1."""
    y = xp(x).where(x > 0, x, xp(x).expm1(xp(x).minimum(x, 0)))  # the minimum: where() computes both, and e¹⁰⁰ is inf
    return y, x


def elu_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy where x > 0, else dy · eˣ. That is y + 1, but of a y near -1 no digits are left."""
    x = saved
    return (dy * xp(x).exp(xp(x).minimum(x, 0)),)


elu = Op("elu", elu_forward, elu_backward)


def leaky_relu_forward(x, *, slope=0.2):
    """x (*x) -> y (*x), y = x where x > 0, else slope · x."""
    return xp(x).where(x > 0, x, slope * x), x


def leaky_relu_backward(dy, saved, *, slope=0.2):
    """dy (*x) -> dx (*x), dx = dy where x > 0, else slope · dy."""
    return (xp(dy).where(saved > 0, dy, slope * dy),)


leaky_relu = Op("leaky_relu", leaky_relu_forward, leaky_relu_backward)


def tanh_forward(x):
    """x (*x) -> y (*x), y = tanh x."""
    y = xp(x).tanh(x)
    return y, y


def tanh_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy · (1 - y²)."""
    return (dy * (1 - saved * saved),)


tanh = Op("tanh", tanh_forward, tanh_backward)


def sigmoid_forward(x):
    """x (*x) -> y (*x), y = σ(x) = 1 / (1 + e⁻ˣ) = eˣ / (1 + eˣ): whichever cannot overflow."""
    e = xp(x).exp(-xp(x).abs(x))
    return xp(x).where(x > 0, 1, e) / (1 + e), e


def sigmoid_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy · y (1 - y), which is e / (1 + e)² on both sides of 0."""
    e = saved
    return (dy * e / (1 + e) ** 2,)


sigmoid = Op("sigmoid", sigmoid_forward, sigmoid_backward)


def normal_cdf(x):
    """Φ(x) = erfc(-x / √2) / 2, the probability that a standard normal number is below x; erfc = 1 - erf.

    Number by number, since NumPy has no erfc and Python has one.
    """
    values = [math.erfc(-number / math.sqrt(2)) / 2 for number in x.ravel().tolist()]
    return xp(x).array(values, x.dtype).reshape(x.shape)


def gelu_forward(x):
    """x (*x) -> y (*x), y = x · Φ(x), with the exact Φ, not its tanh approximation."""
    cdf = normal_cdf(x)
    return x * cdf, (x, cdf)


def gelu_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy · (Φ(x) + x φ(x)), φ = Φ' the normal density."""
    x, cdf = saved
    density = xp(x).exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (dy * (cdf + x * density),)


gelu = Op("gelu", gelu_forward, gelu_backward)


def exp_forward(x):
    """x (*x) -> y (*x), y = eˣ."""
    y = xp(x).exp(x)
    return y, y


def exp_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy · eˣ."""
    return (dy * saved,)


exp = Op("exp", exp_forward, exp_backward)


def log_forward(x):
    """x (*x) -> y (*x), y = ln x, for x > 0."""
    return xp(x).log(x), x


def log_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy / x."""
    return (dy / saved,)


log = Op("log", log_forward, log_backward)


def sqrt_forward(x):
    """x (*x) -> y (*x), y = √x. The slope at 0 is infinite: keep x above it (`clamp_min`)."""
    y = xp(x).sqrt(x)
    return y, y


def sqrt_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy / (2 √x)."""
    return (dy / (2 * saved),)


sqrt = Op("sqrt", sqrt_forward, sqrt_backward)


def abs_forward(x):
    """x (*x) -> y (*x), y = |x|."""
    return xp(x).abs(x), x


def abs_backward(dy, saved):
    """dy (*x) -> dx (*x), dx = dy · sign x; at 0, where |x| has no slope, the mean of both sides, 0."""
    return (dy * xp(dy).sign(saved),)


abs = Op("abs", abs_forward, abs_backward)


def clamp_min_forward(x, *, floor):
    """x (*x) -> y (*x), y = max(x, floor) for a constant floor: keeps log and sqrt away from 0."""
    return xp(x).maximum(x, floor), x


def clamp_min_backward(dy, saved, *, floor):
    """dy (*x) -> dx (*x): an entry below the floor does not move the result."""
    return (dy * (saved >= floor),)


clamp_min = Op("clamp_min", clamp_min_forward, clamp_min_backward)
