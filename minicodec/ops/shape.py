"""Moving numbers without changing them: reshape, transpose, slicing, joining.

Each forward is a linear map that copies entries; each backward is its adjoint, which carries every gradient back to
the place its number came from.
"""

import numpy as np

from minicodec.backend import Op, xp


def reshape_forward(x, *, shape):
    """x (*x) -> y (*y), the same numbers in the same order."""
    return x.reshape(shape), x.shape


def reshape_backward(dy, saved, *, shape):
    """dy (*y) -> dx (*x)."""
    return (dy.reshape(saved),)


reshape = Op("reshape", reshape_forward, reshape_backward)


def transpose_forward(x, *, axes):
    """x (*x) -> y (*y), y's axis i is x's axis axes[i]."""
    return x.transpose(axes), ()


def transpose_backward(dy, saved, *, axes):
    """dy (*y) -> dx (*x), by the inverse permutation."""
    inverse = sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))
    return (dy.transpose(inverse),)


transpose = Op("transpose", transpose_forward, transpose_backward)


def getitem_forward(x, *, index):
    """x (*x) -> y (*y), y = x[index], for every index that NumPy knows."""
    return x[index], x.shape


def getitem_backward(dy, saved, *, index):
    """dy (*y) -> dx (*x), zero wherever the index did not look, a sum where an array of indices looked twice."""
    dx = xp(dy).zeros(saved, dy.dtype)
    if names_no_entry_twice(index):
        dx[index] = dy
    else:
        xp(dy).add.at(dx, index, dy)
    return (dx,)


def names_no_entry_twice(index):
    """Is it made of slices, numbers, None and ... alone?"""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is ... or isinstance(part, slice | int | np.integer) for part in parts)


getitem = Op("getitem", getitem_forward, getitem_backward)


def concatenate_forward(*xs, axis):
    """xs (*x)... -> y (*y), the arrays one after the other along `axis`."""
    return xp(*xs).concatenate(xs, axis), [x.shape[axis] for x in xs]


def concatenate_backward(dy, saved, *, axis):
    """dy (*y) -> dxs (*x)..., each gets its own stretch of dy."""
    ends = [sum(saved[: i + 1]) for i in range(len(saved))]
    return tuple(xp(dy).split(dy, ends[:-1], axis))


concatenate = Op("concatenate", concatenate_forward, concatenate_backward)
