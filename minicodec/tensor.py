"""Reverse-mode automatic differentiation, on one page.

The problem. A network is a long composition of simple operators that ends in one number, the loss L. Training needs
dL/dx for every parameter x: millions of partial derivatives of a single number.

The chain rule, read from the end. Write `dx` for dL/dx, an array of the shape of x. If an operator computed
y = f(x1, x2), and somebody hands us dy, then dx1 and dx2 follow from dy and from what f saw. That is all the
operator's `backward` has to know: nothing about the rest of the network, nothing about L. So:

    forward    run the operators; each result remembers which inputs made it, and how to send a gradient back;
    backward   start from dL/dL = 1 and walk the graph from the loss to the leaves, calling each `backward` once.

One such sweep costs about as much as two forward passes, however many parameters there are. (Forward mode, which
pushes derivatives along with the values, would need one pass for each parameter.)

Two details make it right:

    A value used twice receives a gradient from each use, and they ADD: L depends on x along several paths, and the
    chain rule sums over paths.

    A node may pass its gradient on only when it is complete, that is, after every node that used it. Reversed
    topological order guarantees this: parents come before children, so children are swept first.

For example, with y = a * b and L = y + a:

    >>> a, b = Tensor(2.0, requires_grad=True), Tensor(5.0, requires_grad=True)
    >>> L = a * b + a
    >>> [float(g) for g in grad(L, [a, b])]     # dL/da = b + 1, since a is used twice; dL/db = a
    [6.0, 2.0]
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from inspect import signature
from typing import Any

import numpy as np

from minicodec.backend import Op, xp
from minicodec.ops import activations, arithmetic, linear, reductions, shape

_recording = ContextVar("recording", default=True)  # each thread its own


class Tensor:
    """An array that remembers how it was made.

    data           the array (NumPy or CuPy); Python numbers become float32
    requires_grad  does the loss's gradient with respect to this matter? True for parameters and what comes of them
    grad           dL/d(this), filled in by `backward()` on leaves only; None until then
    parents        the Tensors it was computed from; empty for a leaf
    send_back      (dy, which parents' gradients are needed) -> those gradients; None for a leaf
    """

    __slots__ = ("__weakref__", "data", "grad", "parents", "requires_grad", "send_back")
    __array_ufunc__ = None  # array * Tensor is ours to compute: else NumPy would make an array of Tensors

    def __init__(self, data: Any, requires_grad: bool = False):
        self.data = data if hasattr(data, "dtype") else np.asarray(data, np.float32)
        if isinstance(data, np.generic):  # NumPy's sums and 0-d arithmetic give scalars; keep arrays throughout
            self.data = np.asarray(data)
        if requires_grad and self.data.dtype.kind != "f":
            raise ValueError(f"numbers of type {self.data.dtype} have no gradient: make them float32")
        self.requires_grad = requires_grad
        self.grad: Any = None
        self.parents: tuple[Tensor, ...] = ()
        self.send_back: Callable[[Any, tuple[bool, ...]], Sequence[Any]] | None = None

    def backward(self, dy: Any = None) -> None:
        """Add d<self, dy>/d(leaf) to `.grad` of every leaf that requires one (dy = 1 for a scalar loss)."""
        if not self.requires_grad:
            raise ValueError("nothing that this Tensor was computed from requires a gradient, or no_grad was on")
        leaves = [t for t in topological_order(self) if not t.parents]
        for leaf, g in zip(leaves, grad(self, leaves, dy), strict=True):
            leaf.grad = g.copy() if leaf.grad is None else leaf.grad + g  # a copy: `add` sends both inputs one array

    def detach(self) -> "Tensor":
        """The same numbers, cut off from the graph: a constant for whatever is computed from it."""
        return Tensor(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The array's number of axes."""
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype:
        """The array's precision."""
        return self.data.dtype

    def __len__(self) -> int:
        return len(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}{', requires_grad=True' if self.requires_grad else ''})"

    # Operators are ops like all others; the arrays' own broadcasting rules hold.

    def __add__(self, other: Any) -> "Tensor":
        return apply(arithmetic.add, self, other)

    def __sub__(self, other: Any) -> "Tensor":
        return apply(arithmetic.sub, self, other)

    def __mul__(self, other: Any) -> "Tensor":
        return apply(arithmetic.mul, self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> "Tensor":
        return apply(arithmetic.div, self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return apply(arithmetic.sub, other, self)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return apply(arithmetic.div, other, self)

    def __matmul__(self, other: Any) -> "Tensor":
        return apply(linear.matmul, self, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return apply(linear.matmul, other, self)

    def __neg__(self) -> "Tensor":
        return apply(arithmetic.neg, self)

    def __pow__(self, exponent: Any) -> "Tensor":
        ours = isinstance(exponent, Tensor)
        return exponent.__rpow__(self) if ours else apply(arithmetic.power, self, exponent=exponent)

    def __rpow__(self, base: Any) -> "Tensor":  # of a base > 0: baseˣ = e^(x ln base)
        return apply(activations.exp, self * apply(activations.log, _constant(base, self.data)))

    def __getitem__(self, index: Any) -> "Tensor":
        return apply(shape.getitem, self, index=index)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        """Sum over some axes (all by default)."""
        return apply(reductions.sum, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        """Mean over some axes (all by default)."""
        return apply(reductions.mean, self, axis=axis, keepdims=keepdims)

    def reshape(self, *new_shape: int) -> "Tensor":
        """The same numbers in another shape; one axis may be -1."""
        return apply(shape.reshape, self, shape=new_shape)

    def transpose(self, *axes: int) -> "Tensor":
        """Axes in another order."""
        return apply(shape.transpose, self, axes=axes)


def apply(op: Op, *inputs: Any, **attrs: Any) -> Tensor:
    """Run op's forward on the arrays inside, and remember how to run its backward.

    Inputs that are no Tensors are constants; a Python number takes precision and device of the Tensors beside it.
    """
    beside = next((t.data for t in inputs if isinstance(t, Tensor)), np.zeros((), np.float32))
    tensors = tuple(t if isinstance(t, Tensor) else Tensor(_constant(t, beside)) for t in inputs)
    arrays = [t.data for t in tensors]
    forward, backward = op.pair(*arrays)
    y, saved = op.checked_result(forward(*arrays, **attrs))
    result = Tensor(y)
    if _recording.get() and any(t.requires_grad for t in tensors):

        def send_back(dy: Any, needs: tuple[bool, ...]) -> Sequence[Any]:
            asked = {"needs": needs} if _asks_what_is_needed(backward) else {}
            return op.checked_gradients(backward(dy, saved, **asked, **attrs), [t.shape for t in tensors])

        result.requires_grad, result.parents, result.send_back = True, tensors, send_back
    return result


@cache
def _asks_what_is_needed(backward: Callable[..., Any]) -> bool:
    return "needs" in signature(backward).parameters


def _constant(value: Any, beside: Any) -> Any:
    return value if hasattr(value, "dtype") else xp(beside).full((), value, np.result_type(beside.dtype, value))


def topological_order(root: Tensor) -> list[Tensor]:
    """All Tensors that `root` was made of and that require a gradient, parents before children.

    Depth-first, with a stack of our own: the graph of an LSTM or of a training step is deeper than Python's recursion
    limit. Each node is visited twice, once on the way down and once, to be listed, after all its parents.
    """
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        t, parents_done = stack.pop()
        if parents_done:
            order.append(t)
        elif id(t) not in seen and t.requires_grad:
            seen.add(id(t))
            stack.append((t, True))
            stack.extend((p, False) for p in t.parents)
    return order


def grad(y: Tensor, xs: Sequence[Tensor], dy: Any = None) -> list[Any]:
    """d<y, dy>/dx, an array, for each x in xs. Touches no `.grad`.

    y may have any shape; dy is the gradient that arrives at it and defaults to 1 for a scalar. An x on which y does
    not depend gets zeros; one that requires no gradient is a ValueError. Read the arrays, but do not write to them: two
    may share memory. Only nodes that lie between some x and y are swept, and each node's gradient is dropped as soon as
    it has been passed on, so the sweep holds few gradients at a time.
    """
    if frozen := [i for i, x in enumerate(xs) if not x.requires_grad]:
        raise ValueError(f"of the xs, these require no gradient: {frozen}")
    if dy is None and y.data.size != 1:
        raise ValueError(f"y has shape {y.shape}: for anything but a scalar, say which dy arrives at it")
    dy = xp(y.data).ones_like(y.data) if dy is None else xp(y.data).asarray(dy, y.dtype)
    if dy.shape != y.shape:
        raise ValueError(f"dy has shape {dy.shape}, y has shape {y.shape}")

    order = topological_order(y)
    wanted = {id(x) for x in xs}
    on_path = set(wanted)  # the nodes through which some x reaches y
    for t in order:
        if any(id(p) in on_path for p in t.parents):
            on_path.add(id(t))

    grads = {id(y): dy}
    for t in reversed(order):
        g = grads.get(id(t)) if id(t) in wanted else grads.pop(id(t), None)
        needs = tuple(p.requires_grad and id(p) in on_path for p in t.parents)
        if g is None or t.send_back is None or not any(needs):
            continue
        for p, needed, dp in zip(t.parents, needs, t.send_back(g, needs), strict=True):
            if needed and dp is not None:
                dp = xp(p.data).asarray(dp, p.dtype)  # where precisions meet, each goes back in its own
                grads[id(p)] = grads[id(p)] + dp if id(p) in grads else dp
    return [grads.get(id(x), xp(x.data).zeros_like(x.data)) for x in xs]


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without remembering, in this thread: results have no parents, and memory is freed at once."""
    before = _recording.get()
    _recording.set(False)
    try:
        yield
    finally:
        _recording.set(before)
