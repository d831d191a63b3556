"""Which implementation runs? One table, two rules.

An `Op` owns one (forward, backward) pair of plain functions per backend. The pair called "numpy" is the op's
definition: it says what the op means, and every other pair is tested against it.

1. The array decides the device: a CuPy array runs the "cupy" pair.
2. On the CPU, `use(name)` decides the implementation. The default is "numba" where Numba is installed, else "numpy".

A backend that lacks an op falls back to the definition, which is written with `xp(x)` and so runs on either kind of
array. Pairs other than the definition are for float32; in any other precision (float64, used to check gradients)
the definition runs.

Definitions stand in `ops/`, which is all that is needed to compute. The fast pairs stand in `kernels/`, and are loaded
when an op first asks for one: until then, nothing but NumPy has been imported.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

Pair = tuple[Callable[..., Any], Callable[..., Any]]

OPS: dict[str, "Op"] = {}
KERNELS = {"numba": "minicodec.kernels.cpu", "cupy": "minicodec.kernels.gpu"}  # the packages with a backend's pairs
_active = ["numba" if find_spec("numba") else "numpy"]


class Op:
    """A differentiable operator: forward(*arrays, **attrs) -> (y, saved); backward(dy, saved, **attrs) -> grads.

    The backward returns one gradient per input array, None for an input that has none (integer indices). It may take
    a keyword `needs`, one flag per input, and return None where the flag is False: a frozen weight's gradient costs as
    much as the one that is wanted.
    """

    def __init__(self, name: str, forward: Callable[..., Any], backward: Callable[..., Any]):
        if name in OPS:
            raise ValueError(f"an op called {name!r} exists already")
        self.name = name
        self.pairs: dict[str, Pair] = {"numpy": (forward, backward)}
        OPS[name] = self

    def __repr__(self) -> str:
        return f"Op({self.name!r}, backends={sorted(self.pairs)})"

    def add(self, backend: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Give `backend` a pair of its own for this op."""
        self.pairs[backend] = (forward, backward)

    def pair(self, *arrays: Any) -> Pair:
        """The (forward, backward) pair that serves these arrays."""
        backend = _active[-1] if xp(*arrays) is np else "cupy"
        if backend != "student" and any(a.dtype == np.float64 for a in arrays):
            backend = "numpy"
        load(backend)
        return self.pairs.get(backend, self.pairs["numpy"])


@cache
def load(backend: str) -> None:
    """Import the pairs of a backend that has some."""
    if backend in KERNELS:
        import_module(KERNELS[backend])


@contextmanager
def use(backend: str) -> Iterator[None]:
    """Run the ops of a `with` block on "numpy" (the definitions), "numba" or "student"."""
    if backend not in ("numpy", "numba", "student"):
        raise ValueError(f"no backend called {backend!r}: choose numpy, numba or student")
    _active.append(backend)
    try:
        yield
    finally:
        _active.pop()


def active() -> str:
    """The backend that `use` has chosen: for what comes in several implementations without being an op."""
    return _active[-1]


def xp(*arrays: Any) -> ModuleType:
    """The module that made the arrays: cupy if any of them lives on the GPU, else numpy."""
    cupy = sys.modules.get("cupy")  # importing it takes a second: as long as nobody has, every array is a NumPy array
    return np if cupy is None else cupy.get_array_module(*arrays)
