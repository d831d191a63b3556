"""Docstrings promise shapes; here they are read: held against arrays, and used to draw inputs of other sizes.

    "x (B,T,Ci), w (K,Ci,Co) -> y (B,To,Co)"

A letter is one length, the same wherever it stands; "4H" is four times H, "*x" any number of axes, the same wherever it
stands; "..." after an array repeats it with other lengths.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

ARRAY = re.compile(r"(\w+) \(([^)]*)\)(\.\.\.)?")
ARRAYS = re.compile(r"(\w+ \([^)]*\)(\.\.\.)?(, )?)+")


def results(doc: str) -> str:
    """What a docstring promises behind its arrow: "y (B,To,Co)"; empty if it promises nothing."""
    _, _, right = doc.partition(" -> ")
    found = ARRAYS.match(right)
    return found[0] if found else ""


def names(promise: str) -> list[str]:
    """The names of the arrays in "dx (B,T,Ci), dw (K,Ci,Co)"."""
    return [name for name, _, _ in ARRAY.findall(promise)]


def hold(promise: str, arrays: Sequence[Any], bound: dict[str, Any]) -> None:
    """AssertionError unless the arrays have the shapes promised; `bound` learns and keeps what the letters mean."""
    promises = ARRAY.findall(promise)
    assert promises, "no shapes"
    if promises[-1][2]:
        promises = [(name, axes + str(i), "") for i in range(len(arrays)) for name, axes, _ in promises[:1]]
    for (_, axes, _), a in zip(promises, arrays, strict=True):
        matches(axes, np.shape(a), bound)


def matches(axes: str, shape: tuple[int, ...], bound: dict[str, Any]) -> None:
    """Hold one array's shape against one "B,T,4H"; learn the letters on the way."""
    for letters in filter(None, axes.split(",")):
        if letters.startswith("*"):
            n = len(shape) - (len(list(filter(None, axes.split(",")))) - 1)
            assert bound.setdefault(letters, shape[:n]) == shape[:n], f"*{letters}"
            shape = shape[n:]
            continue
        found = re.fullmatch(r"(\d*)(\w*)", letters)
        assert found, f"{letters!r} is no length"
        factor, letter = found.groups()
        assert shape, f"the array has fewer axes than ({axes})"
        length, shape = shape[0], shape[1:]
        if not letter:
            assert length == int(factor)
            continue
        assert length % int(factor or 1) == 0
        expected = bound.setdefault(letter, length // int(factor or 1))
        assert length // int(factor or 1) == expected, f"{letter} is {length} here and {expected} elsewhere"
    assert not shape, f"the array has more axes than ({axes})"


def enlarged(promise: str, shapes: Sequence[tuple[int, ...]], rng: np.random.Generator) -> list[tuple[int, ...]]:
    """The same shapes with every batch, time and channel letter longer by 0, 1 or 2, wherever it stands.

    Kernels (K...) stay, so that windows still fit; what a promise does not name by a single letter stays too.
    """
    bound: dict[str, Any] = {}
    left = promise.split(" -> ")[0]
    hold(left, [np.empty(shape) for shape in shapes], bound)
    more = {letter: int(rng.integers(3)) if letter[0] in "BTCHDM" else 0 for letter in bound}
    larger = []
    for (_, axes, repeated), shape in zip(ARRAY.findall(left), shapes, strict=False):
        if repeated or "*" in axes:
            return list(shapes)
        lengths = []
        for letters, n in zip(filter(None, axes.split(",")), shape, strict=True):
            factor = re.match(r"\d*", letters)[0]  # type: ignore[index]
            lengths.append(n + int(factor or 1) * more.get(letters[len(factor) :], 0))
        larger.append(tuple(lengths))
    return larger
