"""Elementwise arithmetic with broadcasting: add, sub, mul, div, neg, power.

Broadcasting uses an entry several times, so its gradient is the sum over those uses: `unbroadcast` is the adjoint of
broadcasting, and the only thing here that needs a thought.
"""

from minicodec.backend import Op


def unbroadcast(g, shape):
    """Sum g over the axes that broadcasting added or stretched, so that it has `shape` again."""
    added = tuple(range(g.ndim - len(shape)))
    g = g.sum(axis=added) if added else g
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True) if stretched else g


def add_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a + b."""
    return a + b, (a.shape, b.shape)


def add_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b)."""
    a_shape, b_shape = saved
    return unbroadcast(dy, a_shape), unbroadcast(dy, b_shape)


add = Op("add", add_forward, add_backward)


def sub_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a - b."""
    return a - b, (a.shape, b.shape)


def sub_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b)."""
    a_shape, b_shape = saved
    return unbroadcast(dy, a_shape), unbroadcast(-dy, b_shape)


sub = Op("sub", sub_forward, sub_backward)


def mul_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a b."""
    return a * b, (a, b)


def mul_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b)."""
    a, b = saved
    return unbroadcast(dy * b, a.shape), unbroadcast(dy * a, b.shape)


mul = Op("mul", mul_forward, mul_backward)


def div_forward(a, b):
    """a (*a), b (*b) -> y (*y), y = a / b."""
    y = a / b
    return y, (y, a.shape, b)


def div_backward(dy, saved):
    """dy (*y) -> da (*a), db (*b), db = -dy a / b² = -dy y / b."""
    y, a_shape, b = saved
    da = dy / b
    return unbroadcast(da, a_shape), unbroadcast(-da * y, b.shape)


div = Op("div", div_forward, div_backward)


def neg_forward(x):
    """x (*x) -> y (*x), y = -x."""
    return -x, ()


def neg_backward(dy, saved):
    """dy (*x) -> dx (*x)."""
    return (-dy,)


neg = Op("neg", neg_forward, neg_backward)


def power_forward(x, *, exponent):
    """x (*x) -> y (*x), y = x ** exponent, for a constant exponent."""
    return x**exponent, (x,)


def power_backward(dy, saved, *, exponent):
    """dy (*x) -> dx (*x), dx = dy · exponent · x ** (exponent - 1); x⁰ is 1, with slope 0, at x = 0 too."""
    (x,) = saved
    return (dy * exponent * x ** (exponent - (exponent != 0)),)


power = Op("power", power_forward, power_backward)
