"""In what a result differs from what is expected, and which slip would explain it.

A guess that fits only by chance would confuse, so it must fit in every entry.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from minicodec.course.messages import Other

LISTED = "collect what it holds in an array: np.array, np.stack or np.concatenate"
ARRAY_FOR_TENSOR = "an array stands where a Tensor is needed: Tensor(x) makes one of it"
ERRORS = {
    "IndexError: arrays used as indices": "indices are whole numbers: .astype(int), or an array made with dtype=int",
    "IndexError: only integers": "indices are whole numbers: // divides without a rest, int() makes one",
    "IndexError": "an index runs out of its array: are the lengths counted as the task says, at either end?",
    "ZeroDivisionError": "a division by 0: what does the task say of silence, or of nothing?",
    "RecursionError": "it calls itself without end",
    "MemoryError": "it takes more memory than there is: how large are the arrays in between?",
    "OverflowError": "a number is too large for its type: Python's own integers have no limit, NumPy's have",
    "ValueError: zip() argument 2 is": "send_back gives a gradient for each parent, in a tuple: of one, (dx,)",
    "TypeError: a Tensor should come back, not ndarray": "Tensor(array, parents, send_back) makes one: see chapter 2",
    "TypeError: unsupported operand type(s) for *: 'float' and 'Tensor'": "the Tensor stands first: tensor * number",
    "AttributeError: 'list' object has no attribute 'values'": "a dict should come back, not a list",
    "AttributeError: 'list'": "a list is no array: np.array, np.stack or np.concatenate makes one of it",
    "AttributeError: 'tuple'": "a tuple is no array: did a function return several results?",
    "AttributeError: 'numpy.ndarray' object has no attribute 'requires_grad'": ARRAY_FOR_TENSOR,
    "TypeError: memoryview": ARRAY_FOR_TENSOR,  # what x.data is if x is an array
}
KINDS = {
    "f": "numbers",
    "i": "whole",
    "u": "whole",
    "b": "true or false",
}  # of a dtype; complex numbers are none of ours


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
    if isinstance(got, str):
        return f"is a text, {_short(got)}; expected a number" if np.ndim(right) == 0 else "is a text; expected an array"
    if isinstance(got, (list, tuple)):
        return f"is a {type(got).__name__} of {len(got)}; expected an array or a number"
    mine, expected = np.asarray(got), np.asarray(right)
    if mine.shape != expected.shape:
        return f"has shape {mine.shape}; expected {expected.shape}"
    if KINDS.get(mine.dtype.kind) != KINDS.get(expected.dtype.kind):
        whole = ": whole numbers come back in an integer type" if expected.dtype.kind in "iu" else ""
        return f"holds {mine.dtype}; expected {expected.dtype}{whole}"
    if isinstance(got, int) and isinstance(right, int):  # Python's, which may be longer than any of NumPy's
        return "" if got == right else f"is {got}; expected {right}"
    same = (mine == expected) | ((mine != mine) & (expected != expected))  # NaN where NaN is expected
    error = np.where(same, 0, np.abs(mine.astype(np.float64) - expected.astype(np.float64)))
    wrong = ~(error <= rtol * max(float(np.abs(expected[np.isfinite(expected)]).max(initial=0)), 1e-12))
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.unravel_index(np.nanargmax(np.where(wrong, np.nan_to_num(error, nan=np.inf), -1)),
                                                error.shape))  # fmt: skip
    entry = f"entry {list(at)} is" if at else "is"
    many = f"; {wrong.sum()} of {wrong.size} entries are wrong" if wrong.size > 1 else ""
    digits = next((n for n in (6, 9, 17) if f"{mine[at]:.{n}g}" != f"{expected[at]:.{n}g}"), 17)
    return f"{entry} {mine[at]:.{digits}g}; expected {expected[at]:.{digits}g}{many}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def cause_of_error(words: str) -> str:
    """What often lies behind an error, in words."""
    name = re.search(r"It raised (?:NameError|UnboundLocalError): .*'(\w+)'", words)
    if name:
        return f"`{name[1]}` has no value where the function runs: define it inside of the function, or in a cell above"
    if re.search(r"It raised TypeError: unsupported operand .*'Tensor'", words):
        return "a Tensor stands where an array is needed, x.data; a Tensor itself knows + another and * a number alone"
    for error, cause in ERRORS.items():
        if f"It raised {error}" in words:
            return cause
    return ""


def guess(got: Any, right: Any, rtol: float) -> str:
    """A cause that explains every entry of an array, in words."""
    if got is None:
        return "is there a `return`, and does it name all results?"
    if isinstance(got, (list, tuple)):
        return LISTED
    if right is None or isinstance(got, Other) or not isinstance(right, (np.ndarray, np.generic, float, int)):
        return ""
    mine, expected = np.asarray(got), np.asarray(right)
    if mine.shape != expected.shape:
        return _of_shapes(mine.shape, expected.shape)
    if KINDS.get(mine.dtype.kind) != KINDS.get(expected.dtype.kind):
        return _of_types(mine, expected)
    if not np.isfinite(mine).all() and np.isfinite(expected).all():
        return "some entries are not finite: is there a division by 0, or the logarithm of 0 or of something negative?"
    if mine.dtype.kind == "f" and mine.dtype.itemsize < expected.dtype.itemsize:
        error = np.abs(mine.astype(np.float64) - expected)
        if (error <= 32 * float(np.finfo(mine.dtype).eps) * np.abs(expected).max(initial=0)).all():
            return f"right but for rounding: it was computed in {mine.dtype}; results have the precision of the inputs"
    if expected.size < 2:
        return _of_numbers(float(mine.item()), float(expected.item())) if expected.size else ""
    if not mine.any():
        return "all is zero: is the result ever written to?"
    for words, candidate in _candidates(mine.astype(np.float64), expected.astype(np.float64)):
        if not difference(mine.astype(np.float64), candidate, max(rtol, 1e-12)):
            return words
    return ""


def _of_shapes(mine: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if sorted(mine) == sorted(expected):
        return "the axes are in another order"
    if [n for n in mine if n != 1] == [n for n in expected if n != 1]:
        return "an axis of length 1 is missing, or there is one too many: see keepdims, reshape, x[None]"
    if len(mine) == len(expected):
        differ = [i for i in range(len(mine)) if mine[i] != expected[i]]
        if len(differ) == 1:
            way = "short" if mine[differ[0]] < expected[differ[0]] else "long"
            return f"axis {differ[0]} is too {way} by {abs(mine[differ[0]] - expected[differ[0]])}"
    return f"it has {len(mine)} axes instead of {len(expected)}" if len(mine) != len(expected) else ""


def _of_types(mine: np.ndarray, expected: np.ndarray) -> str:
    if mine.dtype.kind == "c":
        return "complex numbers come back: take the real part, the imaginary part or the magnitude, as the task says"
    if expected.dtype.kind in "iu":
        return "the values may be right, but they are not of an integer type: .astype(int), or int() for one number"
    return "the results lost what is behind the point: an array made of whole numbers holds nothing else"


def _of_numbers(mine: float, expected: float) -> str:
    """The slips of one number: its sign, and a whole factor. (Any other factor fits any number, and says nothing.)"""
    if mine == -expected:
        return "the sign is wrong"
    if not expected or abs(mine) <= 1e-12 * abs(expected):
        return ""
    factor = mine / expected
    size = max(factor, 1 / factor, key=abs)
    simple = abs(size - Fraction(size).limit_denominator(12)) < 1e-6  # 0.717 times would tell nobody anything
    return f"{factor:.6g} times what is expected" if simple and abs(size - 1) > 1e-6 else ""


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
