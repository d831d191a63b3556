"""Which implementation runs? One table, two rules.

An `Op` owns one (forward, backward) pair of plain functions per backend. The pair called "numpy" is the op's
definition: it says what the op means, and every other pair is tested against it.

1. The array decides the device: a CuPy array runs the "cupy" pair.
2. On the CPU, `use(name)` decides the implementation. The default is "numba" where Numba is installed, and not told by
   NUMBA_DISABLE_JIT=1 to compile nothing; else "numpy".

A backend that lacks an op falls back to the definition, which is written with `xp(x)` and so runs on either kind of
array. Fast pairs are for float32, and for arrays that hold something: for any other precision (float64, used to check
gradients), and where there is nothing to do (no items, no frames), the definition runs.

Definitions stand in `ops/`, which is all that is needed to compute. The fast pairs stand in `kernels/`, and are loaded
when an op first asks for one: until then, nothing but NumPy has been imported.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Pair = tuple[Callable[..., Any], Callable[..., Any]]

OPS: dict[str, "Op"] = {}
KERNELS = {"numba": "minicodec.kernels.cpu", "cupy": "minicodec.kernels.gpu"}  # the packages with a backend's pairs
FLOAT32 = np.dtype(np.float32)  # in this machine's order of bytes
MAY_COMPILE = os.environ.get("NUMBA_DISABLE_JIT", "").strip() in ("", "0")  # which debuggers set to 1
_default = "numba" if MAY_COMPILE and find_spec("numba") else "numpy"
_active = ContextVar("active", default=_default)  # each thread its own


class Op:
    """A differentiable operator: forward(*arrays, **attrs) -> (y, saved); backward(dy, saved, **attrs) -> grads.

    The backward returns one gradient per input array, None for an input that has none (integer indices). It may take
    a keyword `needs`, one flag per input, and return None where the flag is False: a frozen weight's gradient costs as
    much as the one that is wanted.

    indices: which inputs are whole numbers.
    """

    def __init__(
        self, name: str, forward: Callable[..., Any], backward: Callable[..., Any], indices: tuple[int, ...] = ()
    ):
        self.name, self.indices = name, indices
        self.home: str | None = getattr(forward, "__module__", None)
        if name in OPS and OPS[name].home != self.home:  # from the same module: a notebook's cell, run again
            raise ValueError(f"an op called {name!r} exists already, in {OPS[name].home}")
        self.pairs: dict[str, Pair] = {"numpy": (forward, backward)}
        OPS[name] = self

    def __repr__(self) -> str:
        return f"Op({self.name!r}, backends={sorted(self.pairs)})"

    def add(self, backend: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Give `backend` a pair of its own for this op."""
        self.pairs[backend] = (forward, backward)

    def pair(self, *arrays: Any) -> Pair:
        """The (forward, backward) pair that serves these arrays."""
        return chosen(self.pairs, arrays, all(map(self._is_fit, range(len(arrays)), arrays)))

    def _is_fit(self, i: int, a: Any) -> bool:
        """May a fast pair have it as input i?"""
        wholes = i in self.indices and a.dtype.kind in "iu" and a.dtype.isnative
        return a.size > 0 and (a.dtype == FLOAT32 or wholes)

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
            if dx is None or (getattr(dx, "shape", ()) == shape and getattr(dx, "dtype", FLOAT32).kind in "fiu"):
                continue
            problem = f"its backward must return an array {shape} of real numbers as gradient of input {i}"
            raise ValueError(f"op {self.name}: {problem}, not {_described(dx)}")
        return returned


def _described(returned: Any) -> str:
    """In words, for an error."""
    if isinstance(returned, tuple | list):
        return f"a {type(returned).__name__} of {len(returned)}"
    return f"an array {returned.shape} of {returned.dtype}" if isinstance(returned, np.ndarray) else f"{returned!r:.50}"


def chosen(implementations: dict[str, T], arrays: Sequence[Any], fit: bool) -> T:
    """The implementation, of several by backend, that serves these arrays: the definition unless they are `fit`."""
    backend = _active.get() if xp(*arrays) is np else "cupy"
    if backend != "student" and not fit:
        backend = "numpy"
    load(backend)
    return implementations.get(backend, implementations["numpy"])


@cache
def load(backend: str) -> None:
    """Import the pairs of a backend that has some."""
    if backend in KERNELS:
        import_module(KERNELS[backend])
    elif not MAY_COMPILE:
        say("NUMBA_DISABLE_JIT is set: computing with the definitions in NumPy, which takes longer")


@contextmanager
def use(backend: str) -> Iterator[None]:
    """Run the ops of a `with` block, in this thread, on "numpy" (the definitions), "numba" or "student"."""
    if backend not in ("numpy", "numba", "student"):
        raise ValueError(f"no backend called {backend!r}: choose numpy, numba or student")
    if backend == "numba" and not MAY_COMPILE:
        raise ValueError("backend numba: NUMBA_DISABLE_JIT is set, so nothing can be compiled")
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


def say(line: str) -> None:
    """A line on stderr on how things are computed; none where MINICODEC_QUIET=1 or there is no console."""
    if os.environ.get("MINICODEC_QUIET") != "1" and sys.stderr is not None:
        with suppress(OSError, ValueError):  # ValueError: stderr is closed
            print(f"minicodec: {line}", file=sys.stderr, flush=True)
