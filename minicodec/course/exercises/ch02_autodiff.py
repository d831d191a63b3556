"""Chapter 2: reverse-mode differentiation."""

import numpy as np

from minicodec.course.catalogue import Mistake, of_function, of_op
from minicodec.ops import arithmetic


def numeric_gradient(f, x, dy, eps):
    """f (a function of x), x (*x), dy (*y) -> dx (*x): central differences of <f(x), dy>, entry by entry."""
    dx = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[i] = eps
        dx[i] = (np.vdot(f(x + step), dy) - np.vdot(f(x - step), dy)) / (2 * eps)
    return dx


def _one_sided(f, x, dy, eps):
    dx = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[i] = eps
        dx[i] = (np.vdot(f(x + step), dy) - np.vdot(f(x), dy)) / eps
    return dx


def _ignores_dy(f, x, dy, eps):
    return numeric_gradient(f, x, np.ones_like(dy), eps)


def _half_step(f, x, dy, eps):
    return 2 * numeric_gradient(f, x, dy, eps)


def _functions(rng, fresh):
    n = 3 + int(fresh)
    w = rng.normal(size=(n, 2))
    yield np.sin, rng.normal(size=n), rng.normal(size=n), 1e-3
    yield (lambda x: x**3 @ w), rng.normal(size=(2, n)), rng.normal(size=(2, 2)), 1e-3
    yield np.exp, rng.normal(size=()), rng.normal(size=()), 1e-2
    yield np.cumprod, rng.uniform(1, 2, size=n), rng.normal(size=n), 1e-2  # every entry moves all that follow


def reverse_sweep(edges, root):
    """edges (a list: node n was made of edges[n] = [(parent, slope), ...]), root -> g (N): d(root)/d(n) of all nodes.

    slope is d(n)/d(parent). Nodes come in any order; a node may be used by several others, or twice by the same one.
    Nodes that root does not depend on get 0. N can be 10 000, in a single chain.
    """
    g = np.zeros(len(edges))
    g[root] = 1
    for n in reversed(_parents_first(edges, root)):
        for parent, slope in edges[n]:
            g[parent] += g[n] * slope
    return g


def _parents_first(edges, root):
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        n, parents_done = stack.pop()
        if parents_done:
            order.append(n)
        elif n not in seen:
            seen.add(n)
            stack.append((n, True))
            stack.extend((parent, False) for parent, _ in edges[n])
    return order


def _in_the_order_found(edges, root):
    g = np.zeros(len(edges))
    g[root] = 1
    queue, seen = [root], {root}
    for n in queue:
        for parent, slope in edges[n]:
            g[parent] += g[n] * slope
            if parent not in seen:
                seen.add(parent)
                queue.append(parent)
    return g


def _assigned(edges, root):
    g = np.zeros(len(edges))
    g[root] = 1
    for n in reversed(_parents_first(edges, root)):
        for parent, slope in edges[n]:
            g[parent] = g[n] * slope
    return g


def _graphs(rng, fresh):
    a, b, c, d = rng.normal(size=4)
    yield [[], [(0, a)], [(0, b), (1, c)]], 2
    yield [[], [(0, a)], [(1, b)], [(0, c), (2, d)], [(3, 2.0), (1, a)]], 4  # two ways to 1, of unequal length
    yield [[], [(0, a), (0, a)], []], 1  # squared; and a node that is not used
    yield [[(2, a)], [(0, b), (2, c)], []], 1  # not listed parents first
    yield [[(1, a)], [(2, b)], []], 0  # parents with larger numbers than their children
    yield [[], [(0, a)], [(1, b)], [(1, c)]], 2  # 3 uses 1, too, but root does not depend on 3
    yield [[], *([(n, 0.5), (n, 0.5)] for n in range(40))], 40  # a ladder: 2^40 paths
    length = 10_000 + int(fresh)
    yield [[], *([(n, 1.0 + 1e-5)] for n in range(length - 1))], length - 1


def _no_unbroadcast(dy, saved):
    a, b = saved
    return dy * b, dy * a


def _swapped(dy, saved):
    a, b = saved
    return arithmetic.unbroadcast(dy * np.ones_like(b) * a, a.shape), arithmetic.unbroadcast(dy * b, b.shape)


def _mean(dy, saved):
    a, b = saved
    da, db = arithmetic.mul_backward(dy, saved)
    return da * (a.size / dy.size), db * (b.size / dy.size)


def _no_square(dy, saved):
    y, a_shape, b = saved
    return arithmetic.unbroadcast(dy / b, a_shape), arithmetic.unbroadcast(-dy * y, b.shape)


def _plus(dy, saved):
    da, db = arithmetic.div_backward(dy, saved)
    return da, -db


EXERCISES = [
    of_function(
        numeric_gradient, 2, _functions,
        mistakes=(
            Mistake(_one_sided, "differences to one side: their error is of order eps, that of central ones eps²"),
            Mistake(_ignores_dy, "dy is left out: the number to differentiate is <f(x), dy>, not the sum of f(x)"),
            Mistake(_half_step, "divided by eps, but the two points are 2·eps apart"),
        ),
        hint="move one entry at a time, both ways, and look at np.vdot(f(x), dy).",
    ),
    of_op(
        "mul", "backward", chapter=2,
        mistakes=(
            Mistake(_no_unbroadcast, "an entry that was used several times must sum what comes from all its uses"),
            Mistake(_swapped, "da must carry b and db must carry a: the derivative of ab with respect to a is b"),
            Mistake(_mean, "broadcasting uses an entry several times: its gradients are added, not averaged"),
        ),
        hint="dy·b has the shape of y. Where a was stretched to that shape, sum over the stretched axes.",
    ),
    of_function(
        reverse_sweep, 2, _graphs, points=2,
        mistakes=(
            Mistake(_in_the_order_found, "a node passed its gradient on too early: visit it after all its users"),
            Mistake(_assigned, "a gradient is assigned where it should be added to (+=): nodes have several users"),
        ),
        hint="first list the nodes, parents before children, with a stack of your own; then sweep that list backwards.",
    ),
    of_op(
        "div", "backward", chapter=2, variant_of="mul_backward",
        mistakes=(
            Mistake(_no_square, "db lacks a division by b: the derivative of a/b with respect to b is -a/b²"),
            Mistake(_plus, "the sign of db is wrong: a/b falls when b rises"),
        ),
        hint="saved is (y, a.shape, b), with y = a/b.",
    ),
]  # fmt: skip
