"""Formulas of float32 numbers, written in Python and handed to Numba's compiler ready made, as LLVM instructions.

A formula is a Python function without loops and branches. Called with a `Number` in place of a number, it does not
calculate: each operation appends the instruction that will. So it need not pass through Numba's analysis of types, and
is not compiled and optimised by itself before it becomes a part of whatever loop calls it. That analysis would take as
long for a line of arithmetic as for a loop, and first uses wait for it.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from minicodec.kernels.cpu.engine.compile import instruction

F32, I32 = ir.FloatType(), ir.IntType(32)


def _binary(of_floats: str, of_ints: str, swapped: bool = False) -> Callable[["Number", Any], "Number"]:
    """An operator; the names are those of llvmlite's IRBuilder."""

    def operator(self: "Number", other: Any) -> "Number":
        a, b = self.value, self.like(other)
        emit = getattr(self.builder, of_floats if a.type == F32 else of_ints)
        return Number(self.builder, emit(b, a) if swapped else emit(a, b))

    return operator


def _comparison(sign: str) -> Callable[["Number", Any], "Number"]:
    """Of floats; false if one is NaN. For `select`."""

    def operator(self: "Number", other: Any) -> "Number":
        return Number(self.builder, self.builder.fcmp_ordered(sign, self.value, self.like(other)))

    return operator


class Number:
    """A float32 or int32 in the code under construction; the other side of an operator may be a constant."""

    __array_ufunc__ = None  # a NumPy number on the left leaves the operation to this class

    def __init__(self, builder: Any, value: Any):
        self.builder, self.value = builder, value

    def like(self, other: Any) -> Any:
        """Another number or a constant, as a value of the same type."""
        return other.value if isinstance(other, Number) else ir.Constant(self.value.type, other)

    def call(self, name: str, *others: Any) -> "Number":
        """An instruction that LLVM has as a function, of this number and others."""
        from numba.core import cgutils

        signature = ir.FunctionType(F32, [F32] * (1 + len(others)))
        function = cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.{name}.f32")
        return Number(self.builder, self.builder.call(function, [self.value, *map(self.like, others)]))

    __add__, __radd__ = _binary("fadd", "add"), _binary("fadd", "add")
    __sub__, __rsub__ = _binary("fsub", "sub"), _binary("fsub", "sub", swapped=True)
    __mul__, __rmul__ = _binary("fmul", "mul"), _binary("fmul", "mul")
    __truediv__, __rtruediv__ = _binary("fdiv", "sdiv"), _binary("fdiv", "sdiv", swapped=True)
    __lshift__, __rshift__ = _binary("no floats", "shl"), _binary("no floats", "ashr")
    __lt__, __gt__ = _comparison("<"), _comparison(">")

    def __neg__(self) -> "Number":
        return Number(self.builder, self.builder.fneg(self.value))

    def __abs__(self) -> "Number":
        return self.call("fabs")

    def is_nan(self) -> "Number":
        """For `select`."""
        return Number(self.builder, self.builder.fcmp_unordered("uno", self.value, self.value))

    def bits(self) -> "Number":
        """Those of a float32 as an int32."""
        return Number(self.builder, self.builder.bitcast(self.value, I32))

    def as_bits(self) -> "Number":
        """The float32 that has the bits of this int32."""
        return Number(self.builder, self.builder.bitcast(self.value, F32))


def select(condition: Number, yes: Any, no: Any) -> Number:
    """yes where the condition holds, else no: float32 both."""
    builder = condition.builder
    values = [choice.value if isinstance(choice, Number) else ir.Constant(F32, choice) for choice in (yes, no)]
    return Number(builder, builder.select(condition.value, *values))


def multiply_add(a: Number, b: Any, c: Any) -> Number:
    """a · b + c, rounded once where the machine has an instruction for it; Numba by itself never uses that."""
    return a.call("fmuladd", b, c)


def for_numba(formula: Callable[[Number], Number]) -> Any:
    """A formula of one float32 as a function that Numba code can call."""

    @instruction("float32", "float32")
    def emit(context, builder, signature, args):
        return formula(Number(builder, args[0])).value

    return emit
