"""Chapter 2."""

import numpy as np

from minicodec.course.catalogue import Mistake
from minicodec.course.exercises.ch02_autodiff import numeric_gradient, reverse_sweep
from minicodec.ops import arithmetic


def _never_put_back(f, x, dy, eps):
    x, dx = x.astype(float), np.empty(x.shape)
    for i in np.ndindex(x.shape):
        x[i] += eps
        above = np.vdot(f(x), dy)
        x[i] -= 2 * eps
        dx[i] = (above - np.vdot(f(x), dy)) / (2 * eps)
    return dx


def _row_by_row(f, x, dy, eps):
    dx = np.empty(x.shape)
    for i in range(len(x)):
        step = np.zeros(x.shape)
        step[i] = eps
        dx[i] = (np.vdot(f(x + step), dy) - np.vdot(f(x - step), dy)) / (2 * eps)
    return dx


def _by_number(edges, root):
    g = np.zeros(len(edges))
    g[root] = 1
    for n in reversed(range(len(edges))):
        for parent, slope in edges[n]:
            g[parent] += g[n] * slope
    return g


def _one_parent(edges, root):
    return reverse_sweep([parents[:1] for parents in edges], root)


def _slopes_added(edges, root):
    g = np.zeros(len(edges))
    g[root], n = 1, root
    while edges[n] and edges[n][0][0] != n:
        parent, slope = edges[n][0]
        g[parent], n = g[n] + slope, parent
    return g


def _last_axis(dy, saved):
    a, b = saved
    return tuple(
        g.sum(axis=tuple(range(-1, -1 - (g.ndim - np.ndim(x)), -1))) if g.shape != np.shape(x) else g
        for g, x in ((dy * b, a), (dy * a, b))
    )


MISTAKES = {
    "numeric_gradient": (
        Mistake(_never_put_back, "an entry that was moved is not put back before the next one is"),
        Mistake(_row_by_row, "a whole row moved at once: np.ndindex(x.shape) goes through all entries"),
        Mistake(
            lambda f, x, dy, eps: np.full(x.shape, (np.vdot(f(x + eps), dy) - np.vdot(f(x - eps), dy)) / (2 * eps)),
            "all entries moved at once; each entry has a derivative of its own",
        ),
        Mistake(
            lambda f, x, dy, eps: 2 * eps * numeric_gradient(f, x, dy, eps), "the difference is not divided by 2·eps"
        ),
    ),
    "mul_backward": (
        Mistake(_last_axis, "the axes that broadcasting adds stand in FRONT: sum over those, not over the last"),
        Mistake(
            lambda dy, saved: tuple(arithmetic.unbroadcast(dy, np.shape(x)) for x in saved),
            "dy came through as through a sum; a product multiplies it by the other factor",
        ),
        Mistake(
            lambda dy, saved: (arithmetic.mul_backward(dy, saved)[0], np.zeros_like(saved[1])),
            "db is zero: both factors get a gradient",
        ),
    ),
    "reverse_sweep": (
        Mistake(_by_number, "nodes come in any order: a parent can have a larger number than its child"),
        Mistake(_one_parent, "a node has several parents, and each gets its share"),
        Mistake(_slopes_added, "slopes are multiplied along a path (the chain rule), not added"),
        Mistake(
            lambda edges, root: reverse_sweep(edges, len(edges) - 1),
            "the sweep starts at `root`, which need not be the last node",
        ),
    ),
    "div_backward": (
        Mistake(
            lambda dy, saved: (
                arithmetic.unbroadcast(dy * saved[2], saved[1]),
                arithmetic.div_backward(dy, saved)[1],
            ),
            "da is dy divided by b, not multiplied",
        ),
        Mistake(
            lambda dy, saved: (dy / saved[2], -dy * saved[0] / saved[2]),
            "an entry that was used several times must sum what comes from all its uses",
        ),
        Mistake(
            lambda dy, saved: (
                arithmetic.div_backward(dy, saved)[0],
                arithmetic.unbroadcast(-dy * saved[0] / saved[2] ** 2, np.shape(saved[2])),
            ),
            "saved[0] is y = a/b, which has one division by b in it already",
        ),
    ),
}
