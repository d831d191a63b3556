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
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from minicodec.kernels.cpu.engine.compile import inner

I64 = ir.IntType(64)
LINE = 16  # int64 in two cache lines: those of some machines have 128 bytes


def _pointer(builder, address):
    return builder.inttoptr(address, I64.as_pointer())


def _load(typing_context, address):
    """The word at an address."""

    def emit(context, builder, signature, args):
        return builder.load_atomic(_pointer(builder, args[0]), "acquire", 8)

    return types.int64(types.intp), emit


def _store(typing_context, address, value):
    """Write the word at an address."""

    def emit(context, builder, signature, args):
        builder.store_atomic(args[1], _pointer(builder, args[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), emit


def _pause(typing_context):
    """Tell the core that this is a loop that waits: it saves power, and leaves the loop without a penalty."""

    def emit(context, builder, signature, args):
        if platform.machine() in ("x86_64", "AMD64"):
            nothing = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), emit


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
pause: Any = intrinsic(_pause)
# Give the core to another thread that waits for one, if there is any; that takes 0.5 µs if there is none.
let_others_run = types.ExternalFunction("SwitchToThread" if sys.platform == "win32" else "sched_yield", types.intc())


@inner
def spin(word, value, spins):
    """Until the word at this address is at least `value`, or for so many spins of some 30 ns. -> is it?"""
    for _ in range(spins):
        if load(word) >= value:
            return True
        pause()
    return False
