"""A stand-in for the module `cupy` on the CPU's memory: what runs on it keeps CuPy's rules.

Most of what breaks on a GPU breaks because an array of the host slips in, or because Python asks for a number of the
device. So this `ndarray` is none of NumPy's, and refuses what CuPy refuses:

    an operation with a NumPy array, or of NumPy's functions on a device array            TypeError
    np.asarray(a), and all else that would copy to the host without being told to         TypeError
    lists and NumPy arrays as indices; object arrays; names and arguments that CuPy 14 does not have
    float(a), bool(a), a.get(), boolean masks ...     counted, and refused in a block `with no_host_reads():`

Reductions give arrays without axes where NumPy gives scalars, and `a[0]` is a view. Memory is counted, and may be
given a limit: then the allocation that goes beyond it raises CuPy's OutOfMemoryError.

    pretend_gpu.install(monkeypatch)         # from here on, `import cupy` gives this one
    x = pretend_gpu.asarray(np.ones(3))

The names and arguments in `names.py` are CuPy 14.2's; `test_gpu_pretend.py` asks CuPy again where it is installed.
"""

import sys
import time
from functools import cache
from types import ModuleType, SimpleNamespace

import numpy as np
import scipy.special

from tests.host_cuda import furnish
from tests.pretend_gpu.arrays import (
    OutOfMemoryError,
    add_at,
    array,
    asarray,
    asnumpy,
    host_read,
    host_reads,
    memory,
    ndarray,
    no_host_reads,
    sliding_window_view,
    unwrapped,
    wrapped,
)  # fmt: skip
from tests.pretend_gpu.names import FUNCTIONS, READING, misnamed

__all__ = ["asarray", "host_reads", "install", "memory", "misnamed", "module", "no_host_reads"]

DEVICES = 3
used: list[int] = []  # the devices that somebody has made the current one


def _function(name, keywords, reads=False):
    function = getattr(np, name)

    def call(*args, **kwargs):
        if kwargs.keys() - set(keywords.split()):
            raise TypeError(f"cupy.{name} is not known here to have {sorted(kwargs)}")
        if reads:
            host_read(f"cupy.{name}")
        out = kwargs.pop("out", None)
        result = wrapped(function(*map(unwrapped, args), **{k: unwrapped(v) for k, v in kwargs.items()}))
        if out is None:
            return result
        out[...] = result
        return out

    return call


class Pool:
    """cupy.get_default_memory_pool(). It keeps what is freed, so it grows to the most that lived at a time."""

    def used_bytes(self):
        """In arrays."""
        return memory.used

    def total_bytes(self):
        """Taken from the device."""
        return memory.peak

    def free_all_blocks(self):
        """Give back what is not in arrays."""
        memory.peak = memory.used


class Event:
    """A mark in the stream of work, which here is done at once."""

    def record(self, stream=None):
        """Now."""
        self.time = time.perf_counter()

    def synchronize(self):
        """Wait until the device is here."""
        host_read("synchronize()")


@cache
def module():
    """The modules that `import cupy` and its like shall find, by name."""
    cupy = ModuleType("cupy")
    for name, keywords in FUNCTIONS.items():
        setattr(cupy, name, _function(name, keywords))
    for name, keywords in READING.items():
        setattr(cupy, name, _function(name, keywords, reads=True))

    def add(a, b):
        return wrapped(np.add(unwrapped(a), unwrapped(b)))

    add.at = add_at
    cupy.add, cupy.absolute, cupy.ndarray, cupy.array, cupy.asarray, cupy.asnumpy = (
        add, cupy.abs, ndarray, array, asarray, asnumpy,
    )  # fmt: skip
    cupy.get_array_module = lambda *arrays: cupy if any(isinstance(a, ndarray) for a in arrays) else np
    cupy.get_default_memory_pool = Pool
    for name in ("float32", "float64", "int32", "int64", "complex64", "bool_", "dtype", "newaxis", "inf", "nan", "pi"):
        setattr(cupy, name, getattr(np, name))
    cupy.fft = SimpleNamespace(
        rfft=lambda a, n=None, axis=-1: wrapped(np.fft.rfft(a._host, n, axis)),
        irfft=lambda a, n=None, axis=-1: wrapped(np.fft.irfft(a._host, n, axis)),
    )
    cupy.lib = SimpleNamespace(stride_tricks=SimpleNamespace(sliding_window_view=sliding_window_view))

    def wait():
        host_read("synchronize()")

    def mem_info():
        return memory.limit - memory.peak, memory.limit

    cupy.cuda = ModuleType("cupy.cuda")
    vars(cupy.cuda).update(
        is_available=lambda: True,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=SimpleNamespace(memGetInfo=mem_info, deviceSynchronize=wait, getDeviceCount=lambda: DEVICES),
        Device=lambda number=0: SimpleNamespace(
            synchronize=wait, mem_info=mem_info(), use=lambda: used.append(number)
        ),
        Stream=SimpleNamespace(null=SimpleNamespace(synchronize=wait)),
        Event=Event,
        get_elapsed_time=lambda start, end: 1000 * (end.time - start.time),
    )
    special = ModuleType("cupyx.scipy.special")
    special.erf = lambda x: wrapped(scipy.special.erf(unwrapped(x)))
    cupyx = ModuleType("cupyx")
    cupyx.scipy = ModuleType("cupyx.scipy")
    cupyx.scipy.special, cupyx.scatter_add = special, add_at
    cupyx.allow_synchronize = lambda allowed: no_host_reads()
    furnish(cupy)
    return {each.__name__: each for each in (cupy, cupy.cuda, cupyx, cupyx.scipy, special)}


def install(monkeypatch):
    """Let `import cupy` find this, until the test has ended; the module."""
    modules = module()
    for name, each in modules.items():
        monkeypatch.setitem(sys.modules, name, each)
    monkeypatch.setattr(memory, "limit", 2**62)
    return modules["cupy"]
