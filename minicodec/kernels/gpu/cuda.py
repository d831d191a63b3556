"""CUDA C, from source text to a launch.

A kernel is a function that a GPU runs in thousands of threads at once. Threads come in blocks: those of one block share
a small fast memory and can wait for each other, blocks run in any order. Here, each op that has kernels has them in
one string of CUDA C beside its CuPy pair, in kernels/gpu/:

    KERNELS = Kernels("elu", r'''extern "C" __global__ void elu(const float* x, float* y, long long n) { ... }''')
    KERNELS.each("elu", y.size, x, y, y.size)                     a thread for each of y.size entries
    KERNELS.launch("elu", blocks, threads, x, y, y.size)          so many blocks of so many threads

CuPy compiles the string for the GPU at hand when one of its kernels is first launched, and keeps the result in the
user's cache. Nothing here imports CuPy: it is the module that made the arrays.

In the kernels whole numbers are `long long`, all others `float`, and arrays are contiguous: a kernel reads addresses
and checks nothing. All are deterministic: none adds with atomics, whose order is never twice the same.
"""

from functools import cache
from typing import Any

import numpy as np

from minicodec.backend import xp

THREADS = 256  # of a block, where nothing asks for another number
SHARED = 48 * 1024  # bytes of shared memory that a block gets without asking

SOURCES: dict[str, str] = {}  # all of the package, by name


class Kernels:
    """Some kernels, from one source. `cooperative`: blocks wait for each other, so all must run at the same time."""

    def __init__(self, name: str, code: str, *, cooperative: bool = False):
        if name in SOURCES:
            raise ValueError(f"a source called {name!r} exists already")
        self.code, self.cooperative = code, cooperative
        SOURCES[name] = code

    def launch(self, function: str, blocks: int, threads: int, *args: Any, shared: int = 0) -> None:
        """Run a kernel, with `shared` bytes of memory for each block. args: arrays, int, float."""
        arrays = [a for a in args if not isinstance(a, (int, float))]
        if not all(a.flags.c_contiguous for a in arrays):
            raise ValueError(f"{function}: all arrays must be contiguous")
        kernel = _kernel(xp(*arrays), self.code, self.cooperative, function)
        if shared > SHARED:
            kernel.max_dynamic_shared_size_bytes = shared
        kernel((blocks,), (threads,), tuple(map(_argument, args)), shared_mem=shared)

    def each(self, function: str, n: int, *args: Any) -> None:
        """Run a kernel with (at least) n threads; none if n is 0."""
        if n:
            self.launch(function, -(-n // THREADS), THREADS, *args)


def _argument(a: Any) -> Any:
    return np.int64(a) if isinstance(a, int) else np.float32(a) if isinstance(a, float) else a


@cache
def _kernel(cupy: Any, code: str, cooperative: bool, function: str) -> Any:
    return cupy.RawModule(code=code, enable_cooperative_groups=cooperative).get_function(function)


def contiguous(*arrays: Any) -> list[Any]:
    """The arrays, those that are not contiguous as copies."""
    return [xp(a).ascontiguousarray(a) if a.ndim else a for a in arrays]
