"""Which implementation runs? One table, two rules.

An `Op` owns one (forward, backward) pair of plain functions per backend. The pair called "numpy" is the op's
definition: it says what the op means, and every other pair is tested against it.

1. The array decides the device: a CuPy array runs the "cupy" pair.
2. On the CPU, `use(name)` decides the implementation. The default is "numba".

A backend that lacks an op falls back to the definition, which is written with `xp(x)` and so runs on either kind of
array. Pairs other than the definition are for float32; in any other precision (float64, used to check gradients)
the definition runs.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from minicodec import jit

jit.prepare()

Pair = tuple[Callable[..., Any], Callable[..., Any]]

OPS: dict[str, "Op"] = {}
_active = ContextVar("active", default="numba")  # each thread its own


class Op:
    """A differentiable operator: forward(*arrays, **attrs) -> (y, saved); backward(dy, saved, **attrs) -> grads.

    The backward returns one gradient per input array, None for an input that has none (integer indices). It may take
    a keyword `needs`, one flag per input, and return None where the flag is False: a frozen weight's gradient costs as
    much as the one that is wanted.
    """

    def __init__(self, name: str, forward: Callable[..., Any], backward: Callable[..., Any]):
        home = getattr(forward, "__module__", None)
        if name in OPS and OPS[name].home != home:  # from the same module: a notebook's cell, run again
            raise ValueError(f"an op called {name!r} exists already, in {OPS[name].home}")
        self.name, self.home = name, home
        self.pairs: dict[str, Pair] = {"numpy": (forward, backward)}
        OPS[name] = self

    def __repr__(self) -> str:
        return f"Op({self.name!r}, backends={sorted(self.pairs)})"

    def add(self, backend: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Give `backend` a pair of its own for this op."""
        self.pairs[backend] = (forward, backward)

    def pair(self, *arrays: Any) -> Pair:
        """The (forward, backward) pair that serves these arrays."""
        backend = _active.get() if xp(*arrays) is np else "cupy"
        if backend != "student" and any(a.dtype == np.float64 for a in arrays):
            backend = "numpy"
        return self.pairs.get(backend, self.pairs["numpy"])

    def checked_result(self, returned: Any) -> tuple[Any, Any]:
        """What a forward returned. TypeError: it is not (y, saved), y an array."""
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"op {self.name}: its forward must return (y, saved), not {_described(returned)}")
        y, _ = returned
        if not isinstance(y, np.ndarray | np.generic | float | int) and xp(y) is np:
            raise TypeError(f"op {self.name}: its forward must return (y, saved), y an array, not {_described(y)}")
        return returned

    def checked_gradients(self, returned: Any, shapes: list[tuple[int, ...]]) -> Sequence[Any]:
        """What a backward returned. TypeError, ValueError: not one gradient, or None, of the shape of each input."""
        if not isinstance(returned, tuple | list) or len(returned) != len(shapes):
            promise = f"a tuple of {len(shapes)}, one gradient (or None) for each input"
            raise TypeError(f"op {self.name}: its backward must return {promise}, not {_described(returned)}")
        for i, (dx, shape) in enumerate(zip(returned, shapes, strict=True)):
            if dx is not None and np.shape(dx) != shape:
                problem = f"its backward returned a gradient of shape {np.shape(dx)} for input {i}, of shape {shape}"
                raise ValueError(f"op {self.name}: {problem}")
        return returned


def _described(returned: Any) -> str:
    """In words, for an error."""
    if isinstance(returned, tuple | list):
        return f"a {type(returned).__name__} of {len(returned)}"
    return f"an array {returned.shape}" if isinstance(returned, np.ndarray) else f"{returned!r:.50}"


@contextmanager
def use(backend: str) -> Iterator[None]:
    """Run the ops of a `with` block, in this thread, on "numpy" (the definitions), "numba" or "student"."""
    if backend not in ("numpy", "numba", "student"):
        raise ValueError(f"no backend called {backend!r}: choose numpy, numba or student")
    before = _active.get()
    _active.set(backend)
    try:
        yield
    finally:
        _active.set(before)


def active() -> str:
    """The backend that `use` has chosen: for what comes in several implementations without being an op."""
    return _active.get()


def xp(*arrays: Any) -> ModuleType:
    """The module that made the arrays: cupy if any of them lives on the GPU, else numpy."""
    cupy = sys.modules.get("cupy")  # importing it takes a second: as long as nobody has, every array is a NumPy array
    return np if cupy is None else cupy.get_array_module(*arrays)
