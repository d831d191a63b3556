"""Numbers in memory by their addresses, for compiled loops that check nothing.

An array is a pointer with a shape and strides, and what Numba makes of a slice or an index of one is tens of
instructions, to be analysed, optimised and compiled at a first use. An address is an integer, and a number behind it
one instruction. Whoever calls such loops has checked that the numbers are there.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

F32, I64 = ir.FloatType(), ir.IntType(64)


def _address(typing_context, array):
    """Where the first number of an array lies; `array.ctypes.data` is the same and takes far longer to compile."""

    def emit(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, I64)

    return types.intp(array), emit


def _get(typing_context, address, i):
    """The float32 number i behind an address."""

    def emit(context, builder, signature, args):
        base, i = args
        return builder.load(builder.gep(builder.inttoptr(base, F32.as_pointer()), [i]), align=4)

    return types.float32(types.intp, types.intp), emit


def _put(typing_context, address, i, value):
    """Write the float32 number i behind an address."""

    def emit(context, builder, signature, args):
        base, i, value = args
        builder.store(value, builder.gep(builder.inttoptr(base, F32.as_pointer()), [i]), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.float32), emit


address: Any = intrinsic(_address)
get: Any = intrinsic(_get)
put: Any = intrinsic(_put)
