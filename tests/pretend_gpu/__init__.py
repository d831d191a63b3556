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
from functools import cache, partial
from types import ModuleType, SimpleNamespace

import numpy as np
import scipy.special

from minicodec.kernels.gpu import cublas
from tests.host_cuda import RawKernel, RawModule, furnish, gemmStridedBatchedEx
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
from tests.pretend_gpu.capture import CAPTURES, STREAMS, Event, MemoryPool, Stream, change, launch, using_allocator
from tests.pretend_gpu.names import FUNCTIONS, READING, misnamed

__all__ = ["asarray", "host_reads", "install", "memory", "misnamed", "module", "no_host_reads"]


def _function(name, keywords, reads=False):
    function = getattr(np, name)

    def call(*args, **kwargs):
        if kwargs.keys() - set(keywords.split()):
            raise TypeError(f"cupy.{name} is not known here to have {sorted(kwargs)}")
        if reads:
            host_read(f"cupy.{name}")
        out = kwargs.pop("out", None)
        if CAPTURES and name in ("concatenate", "stack") and len(args[0]) > 8:
            CAPTURES[-1].refuse(f"cupy.{name} of more than 8 arrays, which copies a table from the host,")
        if CAPTURES and name in ("empty", "empty_like"):  # no work of the device; 0 is an index that exists
            return ndarray(getattr(np, name.replace("empty", "zeros"))(*map(unwrapped, args), **kwargs))
        hosts, named = list(map(unwrapped, args)), {k: unwrapped(v) for k, v in kwargs.items()}
        result = wrapped(launch(lambda: function(*hosts, **named)))
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


def _refusing_captures(name, function):
    """As CuPy does for all of cuBLAS."""

    def call(*args):
        if CAPTURES:
            raise NotImplementedError(f"calling {name} during stream capture is currently unsupported")
        return function(*args)

    return call


class RecordedModule(RawModule):
    """cupy.RawModule, whose kernels can be captured."""

    def get_function(self, name):
        """A kernel."""
        return RecordedKernel(self.code, name, self.cooperative)


class RecordedKernel(RawKernel):
    """What RawModule.get_function returns."""

    def __call__(self, *args, **kwargs):
        change(lambda: RawKernel.__call__(self, *args, **kwargs))


@cache
def module():
    """The modules that `import cupy` and its like shall find, by name."""
    cupy = ModuleType("cupy")
    for name, keywords in FUNCTIONS.items():
        setattr(cupy, name, _function(name, keywords))
    for name, keywords in READING.items():
        setattr(cupy, name, _function(name, keywords, reads=True))

    def add(a, b):
        a, b = unwrapped(a), unwrapped(b)
        return wrapped(launch(lambda: np.add(a, b)))

    add.at = add_at
    cupy.add, cupy.absolute, cupy.ndarray, cupy.array, cupy.asarray, cupy.asnumpy = (
        add, cupy.abs, ndarray, array, asarray, asnumpy,
    )  # fmt: skip
    cupy.get_array_module = lambda *arrays: cupy if any(isinstance(a, ndarray) for a in arrays) else np
    cupy.get_default_memory_pool = Pool
    for name in ("float32", "float64", "int32", "int64", "complex64", "bool_", "dtype", "newaxis", "inf", "nan", "pi"):
        setattr(cupy, name, getattr(np, name))
    cupy.fft = SimpleNamespace(
        rfft=lambda a, n=None, axis=-1: wrapped(launch(lambda: np.fft.rfft(a._host, n, axis))),
        irfft=lambda a, n=None, axis=-1: wrapped(launch(lambda: np.fft.irfft(a._host, n, axis))),
        config=SimpleNamespace(get_plan_cache=lambda: SimpleNamespace(set_size=lambda size: None)),
    )
    cupy.lib = SimpleNamespace(stride_tricks=SimpleNamespace(sliding_window_view=sliding_window_view))

    def wait():
        host_read("synchronize()")

    def mem_info():
        return memory.limit - memory.peak, memory.limit

    Event.wait = staticmethod(host_read)
    cupy.cuda = ModuleType("cupy.cuda")
    vars(cupy.cuda).update(
        is_available=lambda: True,
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=SimpleNamespace(memGetInfo=mem_info, deviceSynchronize=wait),
        Device=lambda: SimpleNamespace(synchronize=wait, mem_info=mem_info(), compute_capability="90"),
        Stream=partial(Stream, memory=memory, wait=host_read),
        Event=Event,
        MemoryPool=MemoryPool,
        using_allocator=using_allocator,
        get_current_stream=lambda: STREAMS[-1] if STREAMS else cupy.cuda.Stream.null,
        get_elapsed_time=lambda start, end: 1000 * (end.time - start.time),
    )
    special = ModuleType("cupyx.scipy.special")
    special.erf = lambda x: wrapped(launch(lambda: scipy.special.erf(x._host)))
    cupyx = ModuleType("cupyx")
    cupyx.scipy = ModuleType("cupyx.scipy")
    cupyx.scipy.special, cupyx.scatter_add = special, add_at
    cupyx.allow_synchronize = lambda allowed: no_host_reads()
    cupyx.empty_pinned = lambda shape, dtype: np.empty(shape, dtype)
    furnish(cupy)
    cupy.RawModule = RecordedModule
    cupy.cuda.Stream.null = Stream(null=True, memory=memory, wait=host_read)
    cupy.cuda.runtime.runtimeGetVersion = lambda: 12090
    gemm = cupy.cuda.cublas.gemmStridedBatchedEx
    cupy.cuda.cublas.setStream = _refusing_captures("cuBLAS API", lambda handle, stream: None)
    cupy.cuda.cublas.gemmStridedBatchedEx = _refusing_captures("cuBLAS API", gemm)
    return {each.__name__: each for each in (cupy, cupy.cuda, cupyx, cupyx.scipy, special)}


def install(monkeypatch):
    """Let `import cupy` find this, until the test has ended; the module."""
    modules = module()
    for name, each in modules.items():
        monkeypatch.setitem(sys.modules, name, each)
    monkeypatch.setattr(memory, "limit", 2**62)
    library = cublas.Library(lambda *args: change(lambda: gemmStridedBatchedEx(*args)), lambda *args: None)
    monkeypatch.setattr(cublas, "library", lambda cupy: library)
    return modules["cupy"]
