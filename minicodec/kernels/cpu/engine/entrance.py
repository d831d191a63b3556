"""The way from Python into machine code: an entrance, which looks at the arguments itself.

To ask Python for the address, shape, flags and type of each array would take 15 µs a call, a good part of a frame of a
stream. So the tuple of arguments goes into machine code as it is. There, each object is compared with what it has to
be, its numbers are taken out of it, and Python's lock is released while the function works: half a microsecond in all.
An entrance that finds other kinds of arguments than it was made for says so, and does nothing.

This file loads such code and calls it; machine_code.py writes it.
"""

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding

NAME = "minicodec_entrance"  # of the function that is called, in each file's code
DONE, OTHER_KINDS, FAILED = range(3)  # what it returns
NUMBERS: dict[str, type] = {"int64": int, "float32": np.float32, "float64": float}


class Array(NamedTuple):
    """The kind of an array: what of it is compiled in."""

    dtype: str
    ndim: int
    contiguous: bool
    writeable: bool


Kind = Any  # an Array, a name of NUMBERS, or a tuple of kinds


def plain(a: Any) -> Any:
    """An argument, or a tuple of them, without what the code need not know: NumPy's integers, classes of arrays."""
    if isinstance(a, tuple):
        return tuple(map(plain, a))
    if isinstance(a, np.ndarray):
        a = np.asarray(a)
        return a if a.dtype is np.dtype(a.dtype.type) or not a.dtype.isnative else a.view(a.dtype.type)
    if isinstance(a, bool | np.bool | np.integer):
        return int(a)
    return float(a) if isinstance(a, np.float64) else a


def kind_of(a: Any) -> Kind:
    """Of a `plain` argument, or of a tuple of them. TypeError: the code cannot take it."""
    if isinstance(a, tuple):
        return tuple(map(kind_of, a))
    if isinstance(a, np.ndarray) and a.dtype.isnative and a.flags.aligned:
        return Array(a.dtype.name, a.ndim, a.flags.c_contiguous, a.flags.writeable)
    for name, of in NUMBERS.items():
        if type(a) is of:
            return name
    raise TypeError(f"compiled code takes numbers, arrays and tuples of them, not {type(a).__name__} {a!r:.50}")


def landmarks(kind: Kind) -> Iterator[Any]:
    """The objects, in the order of the arguments, that an entrance compares with: types, and those of numbers."""
    if isinstance(kind, Array):
        yield from (np.ndarray, np.dtype(kind.dtype))
    elif isinstance(kind, tuple):
        yield tuple
        for one in kind:
            yield from landmarks(one)
    else:
        yield NUMBERS[kind]


class Entrance:
    """Machine code for arguments of a kind, loaded; each has symbols of its own, so that none is another's."""

    def __init__(self, code: bytes, kind: Kind):
        machine = _target().create_target_machine(codemodel="jitdefault", jit=True)  # the engine's own, as the module
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        for part in parts(code):
            self._engine.add_object_file(binding.ObjectFileRef.from_data(part))
        self._engine.finalize_object()
        address = self._engine.get_function_address(NAME)
        self._known = [known for one in kind for known in landmarks(one)]  # kept for their addresses
        addresses = (ctypes.c_void_p * len(self._known))(*map(id, self._known))
        # It is called with Python's lock, which it releases itself, and may set an exception.
        run = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)(address)
        self.way = run, addresses

    def enter(self, args: tuple[Any, ...]) -> None:
        """Call it with arguments of its kind."""
        run, addresses = self.way
        status = run(args, addresses)
        if status != DONE:
            raise RuntimeError(f"compiled code returned {status}")


@cache
def _target() -> Any:
    """This kind of processor."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_triple(binding.get_process_triple())


def joined(*objects: bytes) -> bytes:
    """Object files in one."""
    return b"".join(len(one).to_bytes(8, "little") + one for one in objects)


def parts(code: bytes) -> Iterator[bytes]:
    """The object files that were joined."""
    while code:
        size = int.from_bytes(code[:8], "little")
        yield code[8 : 8 + size]
        code = code[8 + size :]
