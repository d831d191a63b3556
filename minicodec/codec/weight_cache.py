"""A cache of what is derived from a module's weights: made once for as long as they stay as they are.

Whoever codes short pieces again and again would spend much of the time on packing weights (codec/streaming/). But
arrays are open to everybody: an optimiser, a checkpoint or a student may change them in place, and nobody is told. So
what was made is used again only if a fingerprint of all the numbers is still the same. Taking it reads them once,
which costs a sixth of making it all again.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.nn.module import Module

LANES = 64  # sums side by side, so that they fill vectors
FACTOR = np.uint32(0x9E3779B1)  # odd: two sums that differ still do when they are multiplied, modulo 2³²
SHIFT = np.uint32(15)

_cache: WeakKeyDictionary[Module, tuple[bytes, Any]] = WeakKeyDictionary()
M = TypeVar("M", bound=Module)
Made = TypeVar("Made")


def cached(module: M, make: Callable[[M], Made], arrays: list[np.ndarray] | None = None) -> Made:
    """make(module), or what it returned last time for this module, if its arrays hold the same bits as then.

    arrays: those that it is made of, by default the parameters. Each module has one thing made of it.
    """
    now = fingerprint([p.data for p in module.parameters()] if arrays is None else arrays)
    before, made = _cache.get(module, (b"", None))
    if now != before:
        made = make(module)
        _cache[module] = now, made
    result: Made = made
    return result


def fingerprint(arrays: list[np.ndarray]) -> bytes:
    """256 bytes that depend on every bit of the arrays, and on the places of these.

    A change of numbers in different lanes always shows; of several in one lane, all but one in 2³², as good as always.
    """
    sums = np.zeros(LANES, np.uint32)
    for a in arrays:
        words = np.ascontiguousarray(a).reshape(-1).view(np.uint32)
        words.flags.writeable = False
        _mix(words, sums)
    return sums.tobytes()


@compiled
def _mix(words, sums):
    """In each lane, sum = stirred sum · FACTOR + word; stirred: the high bits go down, where the factor begins."""
    for i in range(0, words.size, LANES):
        row = words[i : i + LANES]
        for lane in range(row.size):
            stirred = sums[lane] ^ (sums[lane] >> SHIFT)
            sums[lane] = np.uint32(stirred * FACTOR) + row[lane]
