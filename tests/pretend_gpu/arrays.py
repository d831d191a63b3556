"""Arrays of the pretended device, its memory, and who waits for it. See `__init__.py`."""

import weakref
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np

from tests.pretend_gpu.names import ATTRIBUTES, METHODS, OPERATORS

WAITING = ["allowed"]  # may Python wait for the device?
host_reads = [0]  # how often it did


class OutOfMemoryError(MemoryError):
    """cupy.cuda.memory.OutOfMemoryError."""


class Memory:
    """Bytes of device arrays: those that live, the most that lived, and the limit."""

    def __init__(self):
        self.used, self.peak, self.limit = 0, 0, 2**62
        self.owners = set()

    def take(self, owner):
        """An array has been made: count the one that owns its memory, once."""
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        if id(owner) in self.owners:
            return
        if self.used + owner.nbytes > self.limit:
            raise OutOfMemoryError(f"Out of memory allocating {owner.nbytes} bytes (allocated so far: {self.used})")
        self.used += owner.nbytes
        self.peak = max(self.peak, self.used)
        self.owners.add(id(owner))
        weakref.finalize(owner, self.give, id(owner), owner.nbytes)

    def give(self, owner, size):
        """It has been freed."""
        self.owners.remove(owner)
        self.used -= size


memory = Memory()


def host_read(what):
    """Python asks for something that only the device knows."""
    if WAITING[-1] != "allowed":
        raise AssertionError(f"{what} waits for the device")
    host_reads[0] += 1


@contextmanager
def no_host_reads():
    """In this block, what waits for the device fails. On a real GPU: cupyx.allow_synchronize(False)."""
    WAITING.append("refused")
    try:
        yield
    finally:
        WAITING.pop()


class ndarray:  # noqa: N801 (CuPy's name)
    """An array of the device. Only what stands in this file may look at `_host`."""

    __hash__ = None
    __array_priority__ = 100

    def __init__(self, host):
        if host.dtype == object:
            raise TypeError("Unsupported dtype object")
        memory.take(host)
        self._host = host

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        numbers = all(isinstance(x, ndarray | np.generic) for x in inputs)
        if method != "__call__" or kwargs or not numbers or not any(isinstance(x, np.generic) for x in inputs):
            raise TypeError(f"np.{ufunc.__name__} of a device array: use xp, and arrays of one kind")
        return wrapped(ufunc(*map(unwrapped, inputs)))  # a NumPy scalar times an array, which CuPy allows

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"np.{function.__name__} of a device array: use xp")

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        return f"device({self._host!r})"

    def __getitem__(self, index):
        return ndarray(np.asarray(self._host[_index(index)]))

    def __setitem__(self, index, value):
        if getattr(value, "dtype", None) is not None and np.can_cast(value.dtype, self.dtype, "same_kind") is False:
            raise TypeError(f"Cannot cast {value.dtype} to {self.dtype}")
        self._host[_index(index)] = unwrapped(value)

    def get(self, *_, **__):
        """A copy on the host."""
        host_read("get()")
        return self._host.copy()

    def set(self, array):
        """Take over an array of the host."""
        if self.shape != array.shape or self.dtype != array.dtype:
            raise ValueError(f"{array.shape} {array.dtype} into {self.shape} {self.dtype}")
        self._host[...] = array

    def fill(self, value):
        """One number everywhere."""
        self._host.fill(unwrapped(value))

    def item(self):
        """The only number."""
        host_read("item()")
        return self._host.item()

    def tolist(self):
        """Lists of numbers."""
        host_read("tolist()")
        return self._host.tolist()

    def nonzero(self):
        """Where it is not 0."""
        host_read("nonzero()")
        return wrapped(self._host.nonzero())

    @property
    def data(self):
        """CuPy's MemoryPointer has the address in `ptr`."""
        return SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def flags(self):
        """CuPy knows these three."""
        flags = self._host.flags
        return SimpleNamespace(c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata)

    @property
    def __cuda_array_interface__(self):
        return self._host.__array_interface__


def _operator(name):
    def method(self, *others):
        result = getattr(self._host, name)(*map(unwrapped, others))
        if name.startswith("__i") and name != "__invert__":
            return self  # NumPy has worked in place, or raised
        return NotImplemented if result is NotImplemented else wrapped(result)

    return method


def _method(name):
    def method(self, *args, **kwargs):
        if name in ("max", "min") and self.size == 0:
            raise ValueError(f"zero-size array to reduction operation {name}")
        return wrapped(getattr(self._host, name)(*map(unwrapped, args), **kwargs))

    return method


def _asks(name):
    def method(self):
        host_read(f"{name}(array)")
        return getattr(self._host, f"__{name}__")()

    return method


for _name in OPERATORS.split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in METHODS.split():
    setattr(ndarray, _name, _method(_name))
for _name in ATTRIBUTES.split():
    setattr(ndarray, _name, property(lambda self, name=_name: wrapped(getattr(self._host, name))))
for _name in ("bool", "int", "float", "complex"):
    setattr(ndarray, f"__{_name}__", _asks(_name))


def wrapped(value):
    """What NumPy returned, as CuPy would: arrays everywhere, no scalars."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple | list):
        return type(value)(wrapped(v) for v in value)
    return value


def unwrapped(value):
    """An argument for NumPy. TypeError: it comes from the host, and is no single number."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: an array of the host, {value.shape}, beside device arrays")
    if isinstance(value, tuple | list):
        return type(value)(unwrapped(v) for v in value)
    return value


def _index(index):
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, list | np.ndarray):
            raise TypeError(f"an index of the host, {type(part)}, into a device array")
        if isinstance(part, ndarray) and part.dtype == bool:
            host_read("a boolean mask")
    basic = not any(isinstance(part, ndarray) for part in parts) and Ellipsis not in parts
    parts = (*parts, Ellipsis) if basic else parts  # a view, even of a single number
    return tuple(part._host if isinstance(part, ndarray) else part for part in parts)


def add_at(a, indices, b):
    """cupy.add.at: of these types only."""
    if a.dtype not in (np.int32, np.float16, np.float32, np.float64, np.uint32, np.uint64):
        raise TypeError(f"cupy.add.at cannot add {a.dtype}")
    np.add.at(a._host, _index(indices), unwrapped(b))


def array(value, dtype=None):
    """A copy on the device, of an array of either kind, of numbers, or of lists of them."""
    return ndarray(np.array(value._host if isinstance(value, ndarray) else value, dtype))


def asarray(value, dtype=None):
    """The same, no copy if it is there already."""
    same = isinstance(value, ndarray) and dtype in (None, value.dtype)
    return value if same else array(value, dtype)


def asnumpy(a):
    """A copy on the host."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def sliding_window_view(x, window_shape, axis=None):
    """A view; CuPy's is read-only too."""
    return ndarray(np.lib.stride_tricks.sliding_window_view(x._host, window_shape, axis))


