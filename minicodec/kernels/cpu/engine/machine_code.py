"""Making machine code: Numba compiles a function, and an entrance for Python is written around it [entrance.py].

Only what has to be compiled imports this file, and Numba with it. Numba would write entrances too, but those call
functions of Numba's own, which are there only after all of it has been imported. So ours are made here, of what
Python's own interface offers; and arrays come without Numba's counters of references (`_nrt=False`): compiled functions
cannot allocate any, they fill those that they are given.
"""

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, register_jitable
from numba.np.arrayobj import populate_array

from minicodec.kernels.cpu.engine.compile import DEFINITIONS, ForCompilers
from minicodec.kernels.cpu.engine.entrance import DONE, FAILED, NAME, OTHER_KINDS, Array, Kind, joined

# Without entrances of Numba's own. A division by zero gives inf or NaN: to raise an error, Numba would ask at each
# division, and no vectors would come of it.
HOW: Any = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}

I32, I64, OBJECT = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
# Where things lie in an object, by the headers that all extensions of Python and NumPy are compiled with.
HEAD = object.__basicsize__
TYPE = HEAD - 8
DATA, DIMENSIONS, SHAPE, STRIDES, DTYPE, FLAGS = HEAD, HEAD + 8, HEAD + 16, HEAD + 24, HEAD + 40, HEAD + 48
CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400


def make(function: Callable[..., None], kind: Kind) -> bytes:
    """The code of a function for arguments of these kinds, for an `Entrance`.

    TypeError: it returns something, or does what only Numba's own functions can.
    """
    result = compile_by_numba(function, kind)
    if result.signature.return_type != types.none:
        raise TypeError(
            f"{function.__qualname__} returns {result.signature.return_type}: compiled functions fill arrays"
        )
    _, _, (code, _) = result.library.serialize_using_object_code()
    return joined(code, _entrance(result, kind))


def compile_by_numba(function: Callable[..., None], kind: Kind) -> Any:
    """-> its CompileResult."""
    for definition in DEFINITIONS:
        _register(definition)
    signature = tuple(map(numba_type, kind))
    dispatcher: Any = numba.njit(**HOW)(function)
    dispatcher.compile(signature)
    result = dispatcher.overloads[signature]
    foreign = re.search(r"^declare .*@\"?((NRT|numba)_\w+)", result.library.get_llvm_str(), re.MULTILINE)
    if foreign:
        raise TypeError(f"{function.__qualname__}: its code calls {foreign[1]}, which is there only with Numba")
    return result


def numba_type(kind: Kind) -> Any:
    """What Numba calls a kind."""
    if isinstance(kind, Array):
        dtype = numba.from_dtype(np.dtype(kind.dtype))
        return types.Array(dtype, kind.ndim, "C" if kind.contiguous else "A", readonly=not kind.writeable)
    if isinstance(kind, tuple):
        return types.BaseTuple.from_types(list(map(numba_type, kind)))
    return getattr(types, kind)


def _entrance(result: Any, kind: Kind) -> bytes:
    """The object file of a function NAME(args, landmarks) that calls the one that was compiled."""
    context = cpu_target.target_context
    module = context.codegen().create_library(NAME).create_ir_module(NAME)
    function = ir.Function(module, ir.FunctionType(I32, [OBJECT, OBJECT.as_pointer()]), NAME)
    builder = ir.IRBuilder(function.append_basic_block())
    values = _Reader(context, builder, function).items(function.args[0], kind)

    lock = builder.call(_of_python(module, "PyEval_SaveThread", OBJECT), [])
    compiled = context.declare_function(module, result.fndesc)
    args = result.fndesc.restype, result.fndesc.argtypes, values
    status, _ = context.call_conv.call_function(builder, compiled, *args)
    builder.call(_of_python(module, "PyEval_RestoreThread", ir.VoidType(), OBJECT), [lock])
    builder.ret(builder.select(status.is_ok, I32(DONE), I32(FAILED)))

    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    return context.codegen()._tm.emit_object(parsed)


class _Reader:
    """Writes the code that takes numbers out of Python's objects."""

    def __init__(self, context: Any, builder: Any, function: Any):
        self.context, self.builder, self.function = context, builder, function
        self.landmarks, self.passed = function.args[1], 0
        self.otherwise = function.append_basic_block("other_kinds")
        with builder.goto_block(self.otherwise):
            builder.ret(I32(OTHER_KINDS))

    def items(self, pointer: Any, kinds: tuple[Kind, ...]) -> list[Any]:
        """The values of all items of a tuple."""
        get = _of_python(self.builder.module, "PyTuple_GetItem", OBJECT, OBJECT, I64)
        size = self.builder.call(_of_python(self.builder.module, "PyTuple_Size", I64, OBJECT), [pointer])
        self.expect(self.builder.icmp_signed("==", size, I64(len(kinds))))
        return [self.value(self.builder.call(get, [pointer, I64(i)]), kind) for i, kind in enumerate(kinds)]

    def value(self, pointer: Any, kind: Kind) -> Any:
        """The value of an object, as Numba's code has it."""
        module = self.builder.module
        self.expect_landmark(self.word(pointer, TYPE, OBJECT))
        if isinstance(kind, Array):
            return self.array(pointer, kind)
        if isinstance(kind, tuple):
            return self.context.make_tuple(self.builder, numba_type(kind), self.items(pointer, kind))
        if kind == "int64":
            value = self.builder.call(_of_python(module, "PyLong_AsLongLong", I64, OBJECT), [pointer])
            error = self.builder.call(_of_python(module, "PyErr_Occurred", OBJECT), [])
            self.expect(self.builder.icmp_unsigned("==", error, OBJECT(None)))
            return value
        value = self.builder.call(_of_python(module, "PyFloat_AsDouble", ir.DoubleType(), OBJECT), [pointer])
        return self.builder.fptrunc(value, ir.FloatType()) if kind == "float32" else value

    def array(self, pointer: Any, kind: Array) -> Any:
        """Numba's array: pointers, shape and strides."""
        self.expect_landmark(self.word(pointer, DTYPE, OBJECT))
        self.expect(self.builder.icmp_signed("==", self.word(pointer, DIMENSIONS, I32), I32(kind.ndim)))
        flags = self.builder.and_(self.word(pointer, FLAGS, I32), I32(CONTIGUOUS | ALIGNED | WRITEABLE))
        wanted = CONTIGUOUS * kind.contiguous | ALIGNED | WRITEABLE * kind.writeable
        self.expect(self.builder.icmp_signed("==", flags, I32(wanted)))
        of = numba_type(kind)
        array = self.context.make_array(of)(self.context, self.builder)
        shape, strides = (self.word(pointer, where, OBJECT) for where in (SHAPE, STRIDES))
        populate_array(
            array,
            data=self.builder.bitcast(self.word(pointer, DATA, OBJECT), array.data.type),
            shape=[self.word(shape, 8 * i, I64) for i in range(kind.ndim)],
            strides=[self.word(strides, 8 * i, I64) for i in range(kind.ndim)],
            itemsize=I64(of.dtype.bitwidth // 8),
            meminfo=None,
        )
        return array._getvalue()

    def word(self, pointer: Any, offset: int, kind: Any) -> Any:
        """What lies so many bytes behind the start of an object."""
        return self.builder.load(self.builder.bitcast(self.builder.gep(pointer, [I64(offset)]), kind.as_pointer()))

    def expect_landmark(self, pointer: Any) -> None:
        """The next one of `landmarks`."""
        expected = self.builder.load(self.builder.gep(self.landmarks, [I64(self.passed)]))
        self.passed += 1
        self.expect(self.builder.icmp_unsigned("==", pointer, expected))

    def expect(self, condition: Any) -> None:
        """Go on if it holds, else return OTHER_KINDS."""
        after = self.function.append_basic_block()
        self.builder.cbranch(condition, after, self.otherwise)
        self.builder.position_at_end(after)


@cache
def _register(definition: Callable[..., Any]) -> None:
    """Let Numba know it, once."""
    register_jitable(definition)


def _of_python(module: Any, name: str, result: Any, *parameters: Any) -> Any:
    """A function of Python's own interface."""
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, parameters), name)


def type_of(known: ForCompilers) -> Any:
    """Numba's type of a function that only compiled code calls."""
    if known.made is None:
        known.made = _intrinsic(known) if known.signature else numba.njit(**HOW)(known.py_func)
        for context in (cpu_target.typing_context, cpu_target.target_context):
            context.refresh()  # they learn of new functions
    return cpu_target.typing_context.resolve_value_type(known.made)


def _intrinsic(known: ForCompilers) -> Any:
    """An instruction, as Numba calls it."""
    returned: Any
    returned, *expected = (name and getattr(types, name) for name in known.signature)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = known.py_func(context, builder, signature, args)
        return context.get_dummy_value() if value is None else value

    def typed(typing_context: Any, *args: Any) -> Any:
        return returned(*(to or of for to, of in zip(expected, args, strict=True))), emit

    names = ["typing_context", *(f"parameter_{i}" for i in range(len(expected)))]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    typed.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore
    typed.__name__ = known.py_func.__name__
    return intrinsic(typed)
