"""Numbers in memory by their addresses, for compiled loops that check nothing.

An array is a pointer with a shape and strides, and what Numba makes of a slice or an index of one is tens of
instructions, to be analysed, optimised and compiled at a first use. An address is an integer, and a number behind it
one instruction. Whoever calls such loops has checked that the numbers are there.
"""

from llvmlite import ir

from minicodec.kernels.cpu.engine.compile import instruction

F32, I64 = ir.FloatType(), ir.IntType(64)


@instruction("intp", None)
def address(context, builder, signature, args):
    """Where the first number of an array lies; `array.ctypes.data` is the same and takes far longer to compile."""
    return builder.ptrtoint(context.make_array(signature.args[0])(context, builder, args[0]).data, I64)


@instruction("float32", "intp", "intp")
def get(context, builder, signature, args):
    """The float32 number i behind an address."""
    base, i = args
    return builder.load(builder.gep(builder.inttoptr(base, F32.as_pointer()), [i]), align=4)


@instruction("void", "intp", "intp", "float32")
def put(context, builder, signature, args):
    """Write the float32 number i behind an address."""
    base, i, value = args
    builder.store(value, builder.gep(builder.inttoptr(base, F32.as_pointer()), [i]), align=4)
