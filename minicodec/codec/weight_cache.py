"""A cache of what is derived from a module's weights: made once for as long as they stay as they are.

Whoever codes short pieces again and again would spend much of the time on packing weights (codec/streaming/). But
arrays are open to everybody: an optimiser, a checkpoint or a student may change them in place, and nobody is told. So
what was made is used again only if a fingerprint of all the numbers is still the same. Taking it reads them once,
which costs a sixth of making it all again (kernels.cpu.engine.fingerprint.py).
"""

import hashlib
from collections.abc import Callable
from importlib import import_module
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
    """Some bytes that depend on every bit of the arrays."""
    if active() == "numba":
        fast = import_module("minicodec.kernels.cpu.engine.fingerprint")
        result: bytes = fast.fingerprint(arrays)
        return result
    digest = hashlib.blake2b()
    for a in arrays:
        digest.update(np.ascontiguousarray(a))
    return digest.digest()
