"""On which device arrays live: a CPU's are NumPy's, a GPU's are CuPy's.

    codec.to("gpu")                     weights and codebooks move; from then on the arrays decide [backend]
    host(array)                         the numbers on the CPU again

A GPU works on its own: Python only tells it what to do next, and is many steps ahead. Whenever Python wants to know a
number, it must wait until the GPU has come so far, and then the GPU waits for Python. So whatever runs again and again
leaves its numbers where they are, and who wants to see them fetches many at once (`read`).
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from minicodec.backend import xp
from minicodec.errors import InputError

DEVICES = ("cpu", "gpu")
SPARE = 0.9  # share of the free memory that an estimate counts on: memory is handed out in blocks


def module(device: str) -> ModuleType:
    """The module that makes a device's arrays: numpy for "cpu", cupy for "gpu". InputError: there is no such GPU here.

    CuPy can be imported where there is no GPU: that says nothing.
    """
    if device not in DEVICES:
        raise ValueError(f"no device called {device!r}: choose {' or '.join(DEVICES)}")
    if device == "cpu":
        return np
    try:
        import cupy
    except ModuleNotFoundError:
        raise InputError(
            "device gpu: CuPy is not installed: pip install 'minicodec[cuda12]', or cuda13, as nvidia-smi says"
        ) from None
    except ImportError as error:
        raise InputError(f"device gpu: CuPy cannot be imported: {str(error).strip().splitlines()[-1]}") from error
    if not cupy.cuda.is_available():
        raise InputError("device gpu: CuPy finds no NVIDIA GPU, or no driver for it: look at what nvidia-smi says")
    return cupy


def host(array: Any) -> np.ndarray:
    """An array of any device -> the same numbers in a NumPy array; one that is there already is not copied."""
    return np.asarray(array) if xp(array) is np else array.get()


def assign(target: Any, source: Any) -> None:
    """target[...] = source, whatever device each of the two lives on."""
    target[...] = host(source) if xp(target) is np else xp(target).asarray(source)


def read(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Numbers, or arrays that hold one number, by name -> the same as floats, all fetched at once."""
    values = [value for some in figures for value in some.values()]
    array = xp(*values)
    numbers = iter(host(array.stack([array.asarray(value, np.float64) for value in values])).tolist() if values else [])
    return [{name: next(numbers) for name in some} for some in figures]


def what_fits(cupy: Any, work: Callable[[int], Any], tried: int) -> int:
    """How many items of some work have room in a GPU's memory, 0 if none has, where `tried` items had not.

    The work on one item and on two tells what each takes, beyond what is there in any case.
    """
    pool, taken = cupy.get_default_memory_pool(), []
    for size in (1, 2):
        gc.collect()
        pool.free_all_blocks()
        try:
            work(size)
        except MemoryError:
            return size - 1
        taken.append(pool.total_bytes())
    free, _ = cupy.cuda.runtime.memGetInfo()
    room = SPARE * (free + pool.total_bytes())
    fits = 1 + int((room - taken[0]) // max(1, taken[1] - taken[0]))
    return max(1, min(fits, tried - 1))
