"""Chapter 2: an array that remembers how it was made, and the sweep that finds every gradient.

An operator computes an array, and says how a gradient goes back through it:

    def double(x):
        return Tensor(2 * x.data, (x,), lambda dy: (2 * dy,))
"""

import numpy as np


class Tensor:
    """An array that remembers how it was made.

    data           the array
    requires_grad  is it a parameter, or made of one?
    parents        the Tensors it was made of; () if it does not require a gradient
    send_back      dy -> one gradient for each parent
    """

    def __init__(self, data, parents=(), send_back=None, requires_grad=False):
        self.data = np.asarray(data)
        self.requires_grad = requires_grad or any(p.requires_grad for p in parents)
        self.parents, self.send_back = (tuple(parents), send_back) if self.requires_grad else ((), None)

    def __add__(self, other):
        def send_back(dy):
            return unbroadcast(dy, self.data.shape), unbroadcast(dy, other.data.shape)

        return Tensor(self.data + other.data, (self, other), send_back)

    def __mul__(self, factor):
        return Tensor(self.data * factor, (self,), lambda dy: (dy * factor,))

    def __getitem__(self, index):
        def send_back(dy):
            dx = np.zeros_like(self.data)
            dx[index] = dy
            return (dx,)

        return Tensor(self.data[index], (self,), send_back)


def unbroadcast(g, shape):
    """g (*y), shape of an array that broadcasting stretched to (*y) -> dx, of that shape: the sum over all its uses."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True)


def parents_first(root):
    """root (a Tensor) -> list of all Tensors that it was made of and that require a gradient, parents before children.

    root itself is the last. No recursion: the graph of a training step is deeper than Python allows.
    """
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        t, parents_done = stack.pop()
        if parents_done:
            order.append(t)
        elif id(t) not in seen and t.requires_grad:
            seen.add(id(t))
            stack.append((t, True))
            stack.extend((p, False) for p in t.parents)
    return order


def gradients(y, xs, dy=None):
    """y (a Tensor), xs (Tensors), dy (*y), or None for a number y -> dxs, a list: d<y, dy>/dx for each x.

    Zeros for an x that y was not made of. Each gradient is in the precision of its Tensor.
    """
    grads = {id(y): np.ones_like(y.data) if dy is None else dy}
    for t in reversed(parents_first(y)):
        if not t.parents or id(t) not in grads:
            continue
        for p, dp in zip(t.parents, t.send_back(grads[id(t)]), strict=True):
            if p.requires_grad:
                dp = np.asarray(dp, p.data.dtype)
                grads[id(p)] = grads[id(p)] + dp if id(p) in grads else dp
    return [grads.get(id(x), np.zeros_like(x.data)) for x in xs]


def elu(x):
    """x (a Tensor) -> y, a Tensor: x where x > 0, exp(x) - 1 elsewhere."""
    negative = np.minimum(x.data, 0)  # np.where computes both sides, and exp of a large number is infinite
    y = np.where(x.data > 0, x.data, np.expm1(negative))
    return Tensor(y, (x,), lambda dy: (dy * np.exp(negative),))


def parameter(array):
    """A Tensor that is trained."""
    return Tensor(np.asarray(array, np.float32), requires_grad=True)


def parameters(part, prefix=""):
    """part (an object) -> {path: Tensor}: the Tensors among its attributes, in lists, and in the parts of these.

    A path is made of the attributes' names and the places in lists, as in "encoder.layers.3.bias". `prefix` stands
    before each, as it is: with "net.", "net.encoder.layers.3.bias".
    """
    found = {}
    for name, value in vars(part).items():
        here = {f"{name}.{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {name: value}
        for path, one in here.items():
            if isinstance(one, Tensor):
                found[prefix + path] = one
            elif hasattr(one, "__dict__"):
                found |= parameters(one, f"{prefix}{path}.")
    return found
