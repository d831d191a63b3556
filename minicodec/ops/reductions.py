"""Sums, means and maxima over axes."""

import math

from minicodec.backend import Op, xp


def _axes(axis, ndim):
    """The reduced axes as a tuple of numbers >= 0; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in (axis if isinstance(axis, tuple) else (axis,)))


def _spread(g, shape, axis, keepdims):
    """Stretch a reduced array back over the axes that the reduction removed."""
    if not keepdims:
        axes = _axes(axis, len(shape))
        g = g.reshape([1 if i in axes else n for i, n in enumerate(shape)])
    return xp(g).broadcast_to(g, shape)


def sum_forward(x, *, axis=None, keepdims=False):
    """x (*x) -> y (*y), y = Σ x over `axis`."""
    return x.sum(axis=axis, keepdims=keepdims), x.shape


def sum_backward(dy, saved, *, axis=None, keepdims=False):
    """dy (*y) -> dx (*x): every summand moves the sum as much as itself."""
    return (_spread(dy, saved, axis, keepdims).copy(),)


sum = Op("sum", sum_forward, sum_backward)


def mean_forward(x, *, axis=None, keepdims=False):
    """x (*x) -> y (*y), y = the mean of x over `axis`."""
    if math.prod(x.shape[a] for a in _axes(axis, x.ndim)) == 0:
        raise ValueError(f"mean: there are no numbers to take the mean of, in {x.shape} over {axis}")
    return x.mean(axis=axis, keepdims=keepdims), x.shape


def mean_backward(dy, saved, *, axis=None, keepdims=False):
    """dy (*y) -> dx (*x): each of n entries moves the mean by 1/n."""
    n = math.prod(saved[a] for a in _axes(axis, len(saved)))
    return (_spread(dy / n, saved, axis, keepdims).copy(),)


mean = Op("mean", mean_forward, mean_backward)
