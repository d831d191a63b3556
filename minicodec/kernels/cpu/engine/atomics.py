"""Words of memory that one thread writes and another watches: the fastest way to tell a thread something.

A thread that sleeps in the operating system takes 20 to 100 µs to wake. One that looks at a word again and again
("spins") sees a change after some 0.1 µs, but takes a core away from everybody else meanwhile: so it spins a bounded
number of times, and then offers its core to others.

An ordinary load would not do: a compiler may load once and compare for ever. Atomic loads and stores are really done,
and in order: who loads a word ("acquire") that another thread stored ("release") also sees all that the other had
written before. Numba has none for CPUs, hence LLVM's, as in tile.py. A word is an int64, and has a cache line for
itself, because cores own memory by lines.
"""

import platform
import sys

from llvmlite import ir

from minicodec.kernels.cpu.engine.compile import inner, instruction

I64 = ir.IntType(64)
LINE = 16  # int64 in two cache lines: those of some machines have 128 bytes


@instruction("int64", "intp")
def load(context, builder, signature, args):
    """The word at an address."""
    return builder.load_atomic(builder.inttoptr(args[0], I64.as_pointer()), "acquire", 8)


@instruction("void", "intp", "int64")
def store(context, builder, signature, args):
    """Write the word at an address."""
    builder.store_atomic(args[1], builder.inttoptr(args[0], I64.as_pointer()), "release", 8)


@instruction("void")
def pause(context, builder, signature, args):
    """Tell the core that this is a loop that waits: it saves power, and leaves the loop without a penalty."""
    if platform.machine() in ("x86_64", "AMD64"):
        _call(builder, "llvm.x86.sse2.pause", ir.VoidType())


@instruction("int32")
def let_others_run(context, builder, signature, args):
    """Give the core to another thread that waits for one, if there is any; that takes 0.5 µs if there is none."""
    return _call(builder, "SwitchToThread" if sys.platform == "win32" else "sched_yield", ir.IntType(32))


def _call(builder, name, result):
    """Call a function without parameters."""
    from numba.core import cgutils

    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, []), name), [])


@inner
def spin(word, value, spins):
    """Until the word at this address is at least `value`, or for so many spins of some 30 ns. -> is it?"""
    for _ in range(spins):
        if load(word) >= value:
            return True
        pause()
    return False
