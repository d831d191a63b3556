"""A cache of what is derived from a module's weights: made once for as long as they stay as they are.

Whoever codes short pieces again and again would spend much of the time on packing weights (codec/streaming/). But
arrays are open to everybody: an optimiser, a checkpoint or a student may change them in place, and nobody is told. So
what was made is used again only if a fingerprint of all the numbers is still the same. Taking it reads them once,
which costs a sixth of making it all again.
"""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from minicodec.backend import active
from minicodec.nn.module import Module

_cache: WeakKeyDictionary[Module, tuple[bytes, Any]] = WeakKeyDictionary()
M = TypeVar("M", bound=Module)
Made = TypeVar("Made")


def cached(module: M, make: Callable[[M], Made], arrays: list[np.ndarray] | None = None) -> Made:
    """make(module), or what it returned last time for this module, if its arrays hold the same bits as then.

    arrays: those that it is made of, by default its parameters and buffers. Each module has one thing made of it.
    """
    now = active().encode() + fingerprint(list(module.state_dict().values()) if arrays is None else arrays)
    before, made = _cache.get(module, (b"", None))
    if now != before:
        made = make(module)
        _cache[module] = now, made
    result: Made = made
    return result


def fingerprint(arrays: list[np.ndarray]) -> bytes:
    """Bytes that depend on the arrays' shapes, on every bit in them, and on the places of these."""
    shapes = repr([a.shape for a in arrays]).encode()
    if active() == "numba":
        from minicodec.kernels.cpu.fingerprint import fingerprint as fast

        return shapes + fast(arrays)
    digest = hashlib.blake2b(shapes)
    for a in arrays:
        digest.update(np.ascontiguousarray(a).data)
    return digest.digest()
