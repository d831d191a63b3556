"""In what a result differs from what is expected, and which slip would explain it.

A guess that fits only by chance would confuse, so it must fit in every entry.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicodec.course.messages import Other


def is_same(a: Any, b: Any) -> bool:
    """Are two trees of arguments equal in every number?"""
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in b)
    if isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(is_same, a, b))
    return not isinstance(b, np.ndarray) or np.array_equal(a, b, equal_nan=b.dtype.kind == "f")


def difference(got: Any, right: Any, rtol: float) -> str:
    """In what one result differs, in words; empty if it is right."""
    if isinstance(got, Other):
        return f"is {got.words}"
    if right is None or isinstance(right, (str, bytes, bool)):
        return "" if type(got) is type(right) and got == right else f"is {_short(got)}; expected {_short(right)}"
    if got is None:
        return "is None"
    try:
        mine, expected = np.asarray(got), np.asarray(right)
    except ValueError:
        return "is no array: its rows have different lengths"
    if mine.shape != expected.shape:
        return f"has shape {mine.shape}; expected {expected.shape}"
    if mine.dtype.kind not in "fiub" or (mine.dtype.kind == "f") < (expected.dtype.kind == "f"):
        return f"holds {mine.dtype}; expected {expected.dtype}"
    if expected.dtype.kind not in "fiub":
        return "" if is_same(mine, expected) else "differs"
    error = np.abs(mine.astype(np.float64) - expected)
    wrong = ~(error <= rtol * max(float(np.abs(expected).max(initial=0)), 1e-12))
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.unravel_index(np.nanargmax(np.where(wrong, np.nan_to_num(error, nan=np.inf), -1)),
                                                error.shape))  # fmt: skip
    entry = f"entry {list(at)} is" if at else "is"
    many = f"; {wrong.sum()} of {wrong.size} entries are wrong" if wrong.size > 1 else ""
    return f"{entry} {mine[at]:.6g}; expected {expected[at]:.6g}{many}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def guess(got: Any, right: Any, rtol: float) -> str:
    """A cause that explains every entry of an array, in words."""
    if right is None or got is None or isinstance(got, Other):
        return ""
    mine, expected = np.asarray(got), np.asarray(right)
    if mine.shape != expected.shape:
        return "the axes are in another order" if sorted(mine.shape) == sorted(expected.shape) else ""
    if mine.dtype.kind not in "fiu" or expected.dtype.kind not in "fiu" or expected.size < 2:
        return ""
    if not np.isfinite(mine).all():
        return "some entries are not finite: is there a division by 0, or the logarithm of something negative?"
    if not mine.any():
        return "all is zero: is the result ever written to?"
    for words, candidate in _candidates(mine.astype(np.float64), expected.astype(np.float64)):
        if not difference(mine, candidate, rtol):
            return words
    return ""


def _candidates(mine: np.ndarray, expected: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What usual slips would make of the right result, with their names."""
    yield "the sign is wrong: every entry is the negative of what is expected", -expected
    factor = float((mine * expected).sum() / max((expected * expected).sum(), 1e-300))
    if abs(factor) > 1e-12 and abs(factor - 1) > 1e-3:  # nearer to 1 it would be told as "1 times"
        size = f"{factor:.6g} times too large" if abs(factor) > 1 else f"{1 / factor:.6g} times too small"
        yield f"every entry is {size}: a forgotten (or needless) mean, or a factor?", factor * expected
    for axis in range(expected.ndim):
        yield f"axis {axis} runs the wrong way round", np.flip(expected, axis)
    for axis in range(expected.ndim):
        for by in (1, -1):
            shifted = np.roll(expected, by, axis)
            edge = 0 if by == 1 else -1
            np.moveaxis(shifted, axis, 0)[edge] = np.moveaxis(mine, axis, 0)[edge]  # what moved in from outside
            if expected.shape[axis] > 2:
                late = "late" if by == 1 else "early"
                yield f"all is off by one along axis {axis}: an index that starts one too {late}?", shifted
    yield f"every entry is too large by {(mine - expected).mean():.6g}", expected + (mine - expected).mean()
    if expected.ndim >= 2 and expected.shape[-1] == expected.shape[-2]:
        yield "the last two axes are swapped", expected.swapaxes(-1, -2)
