"""Chapter 2, for my_codec: a Tensor, and the sweep over what it was made of."""

from types import SimpleNamespace

import numpy as np

from minicodec.course.calling import array_of, both_ways, flat, variable
from minicodec.course.catalogue import of_part
from minicodec.course.my_codec.tensor import gradients, parameter


def _tensors(part, a, b, c, dy):
    ta, tb, tc = part(a, requires_grad=True), part(b, requires_grad=True), part(c)
    y = ((ta + tb) * 2.5 + tc)[:, 1:]
    alone = tc + tc
    kept = [y.requires_grad, alone.requires_grad, len(y.parents), len(alone.parents), len(ta.parents)]
    return (array_of(y), *gradients(y, [ta, tb], dy), np.array(kept, int))


def _sums(rng, fresh):
    n = 3 + int(fresh)
    yield *rng.normal(size=(3, 2, n)), rng.normal(size=(2, n - 1))
    yield rng.normal(size=(2, n)), rng.normal(size=n), rng.normal(size=(2, 1)), rng.normal(size=(2, n - 1))
    yield rng.normal(size=(2, n, 2)), rng.normal(size=(n, 1)), rng.normal(size=()), rng.normal(size=(2, n - 1, 2))


def _stretched(part, g, shape):
    return part(g, shape)


def _shapes(rng, fresh):
    n = 4 + int(fresh)
    for big, small in [((3, n), (n,)), ((3, n), (3, 1)), ((2, 3, n), (1, n)), ((3, n), (3, n)), ((3, 2), ()), ((1, n), (1, 1))]:
        yield rng.normal(size=big), small


def _graph(edges):
    """Objects with what parents_first looks at: (parents, requires_grad) of each."""
    nodes: list[SimpleNamespace] = []
    for parents, wanted in edges:
        nodes.append(SimpleNamespace(parents=tuple(nodes[p] for p in parents), requires_grad=wanted))
    return nodes


def _ordered(part, edges):
    """Is every node there once, and after its parents? -> a number for each node: its parents before it, or -1."""
    nodes = _graph(edges)
    order = part(nodes[-1])
    places = {id(t): n for n, t in enumerate(order)}
    found = []
    for t in nodes:
        at = places.get(id(t), -1)
        found.append(-1 if at < 0 else sum(p.requires_grad and places.get(id(p), 1 << 30) < at for p in t.parents))
    return np.array([len(order), *found])


def _graphs(rng, fresh):
    yield ([((), True), ((0,), True), ((0, 1), True)],)
    yield ([((), True), ((), False), ((0, 1), True), ((2, 0), True), ((3, 2, 0), True)],)
    yield ([((), True), ((0,), True), ((1,), True), ((2, 0), True), ((3, 1), True)],)
    yield ([((), True), ((), True), ((0, 0), True)],)  # one that root was not made of; and one that is used twice
    yield ([((), True), *[((n, n), True) for n in range(40)]],)  # 2^40 ways
    yield ([((), True), *[((n,), True) for n in range(3_000 + int(fresh))]],)
    yield ([((), False)],)


def _swept(part, a, b, dy):
    ta, tb, other = variable(a), variable(b), variable(a[:1])
    once = ta + tb
    y = (once * 2.0 + ta) + once[:, :1]
    return tuple(part(y, [ta, tb, once, other], dy))


def _sweeps(rng, fresh):
    n = 3 + int(fresh)
    yield *rng.normal(size=(2, 2, n)), rng.normal(size=(2, n))
    yield rng.normal(size=(2, n)), rng.normal(size=n), rng.normal(size=(2, n))
    yield rng.normal(size=(1, 1)), rng.normal(size=(1, 1)), None
    yield *rng.normal(size=(2, 2, n)).astype(np.float32), rng.normal(size=(2, n)).astype(np.float32)


def _elus(part, x, dy):
    given = variable(x)
    return both_ways(part(given), [given], dy)


def _signed(rng, fresh):
    yield rng.normal(size=(3, 4 + int(fresh))), rng.normal(size=(3, 4 + int(fresh)))
    yield np.array([-800.0, -1e-9, 0.0, 1e-9, 800.0]), rng.normal(size=5)


def _found(part, prefix):
    inner = SimpleNamespace(weight=parameter([0.1]), layers=[parameter([0.2]), SimpleNamespace(bias=parameter([0.3]))])
    whole = SimpleNamespace(inner=inner, stride=2, name="net", g=parameter([0.7]), array=np.ones(2), steps=[np.sin, inner])
    found = part(whole, prefix)
    return flat([array_of(t) for t in found.values()]), " ".join(found)


EXERCISES = [
    of_part(
        "Tensor", 2, _sums, _tensors, returned=("y", "da", "db", "what is kept"), points=2,
        slips=[
            ("requires_grad or any(p.requires_grad for p in parents)", "requires_grad",
             "a result requires a gradient if one of its parents does"),
            ("(tuple(parents), send_back) if self.requires_grad else ((), None)", "tuple(parents), send_back",
             "parents are remembered where no gradient is required: all arrays would stay in memory"),
            ("return unbroadcast(dy, self.data.shape), unbroadcast(dy, other.data.shape)", "return dy, dy",
             "in a sum, what broadcasting has stretched gets the sum of all that comes back: see unbroadcast"),
            ("(dy * factor,)", "(dy,)", "a product with a number sends back dy times that number"),
            ("dx[index] = dy", "dx[index] = 1", "the entries that an index picks get their dy"),
            ("np.zeros_like(self.data)", "np.ones_like(self.data)", "entries that an index did not pick get 0"),
        ],
        hint="each operator returns Tensor(array, parents, send_back); send_back is a function defined inside of it.",
    ),
    of_part(
        "unbroadcast", 2, _shapes, _stretched,
        slips=[
            ("g = g.sum(axis=tuple(range(g.ndim - len(shape))))", "g = g.sum(axis=tuple(range(len(shape), g.ndim)))",
             "new axes stand in front, not at the end"),
            ("g.sum(axis=stretched, keepdims=True)", "g.sum(axis=stretched)", "a stretched axis stays, with length 1"),
            ("g.sum(axis=stretched, keepdims=True)", "g.mean(axis=stretched, keepdims=True)",
             "gradients of several uses are added, not averaged"),
            ("g.sum(axis=stretched, keepdims=True)", "g", "axes of length 1 were stretched, too: sum over them"),
            ("g.sum(axis=tuple(range(g.ndim - len(shape))))", "g[(0,) * (g.ndim - len(shape))]",
             "only the first of the uses is counted along the new axes"),
        ],
        hint="first sum over the axes that shape has not; then, with keepdims, over those where shape has a 1.",
    ),
    of_part(
        "parents_first", 2, _graphs, _ordered, points=2, returned=("how many, and of each its parents before it",),
        slips=[
            ("elif id(t) not in seen and t.requires_grad:", "elif id(t) not in seen:",
             "Tensors that require no gradient are listed"),
            ("return order", "return order[::-1]", "children come before their parents: turn it round"),
            ("(p, False) for p in t.parents", "(p, False) for p in t.parents[:1]", "only the first parent is followed"),
            ("        if parents_done:\n            order.append(t)\n        elif id(t) not in seen and t.requires_grad:\n"
             "            seen.add(id(t))\n",
             "        if not parents_done and id(t) not in seen and t.requires_grad:\n            order.append(t)\n"
             "            seen.add(id(t))\n",
             "a Tensor is listed before its parents are: it must wait until all of them are"),
            ("return order", "return order[:-1]", "root itself is missing"),
        ],
        hint="a stack of (Tensor, are its parents done?), as in reverse_sweep; `seen` holds id(t).",
    ),
    of_part(
        "gradients", 2, _sweeps, _swept, points=2, returned=("da", "db", "the gradient in between", "the other's"),
        slips=[
            ("grads[id(p)] + dp if id(p) in grads else dp", "dp", "gradients of several uses must be added up"),
            ("reversed(parents_first(y))", "parents_first(y)", "the sweep runs from y to the leaves: reversed"),
            ("np.ones_like(y.data) if dy is None else dy", "np.ones_like(y.data)", "dy is left out"),
            ("np.zeros_like(x.data)) for x in xs]", "np.ones_like(x.data)) for x in xs]",
             "an x that y was not made of gets zeros"),
            ("dp = np.asarray(dp, p.data.dtype)", "dp = np.round(dp, 1)", "the gradients were rounded"),
        ],
        hint="a dict from id(t) to the gradient that has arrived; t.send_back(grads[id(t)]) goes to t.parents, in turn.",
    ),
    of_part(
        "elu", 2, _signed, _elus, returned=("y", "dx"),
        slips=[
            ("np.expm1(negative))", "np.exp(negative))", "1 is to be subtracted: exp(x) - 1"),
            ("np.expm1(negative))", "0)", "that is ReLU; below 0, ELU is exp(x) - 1"),
            ("dy * np.exp(negative)", "dy * y", "the slope below 0 is exp(x), which is y + 1"),
            ("dy * np.exp(negative)", "np.exp(negative)", "dy is left out"),
            ("dy * np.exp(negative)", "dy * np.exp(x.data)", "above 0, the slope is 1"),
            ("dy * np.exp(negative)", "dy * (x.data > 0)", "below 0, the slope is exp(x), not 0"),
        ],
        hint="exp of a large number is infinite, and np.where computes both sides: np.minimum(x, 0) first.",
    ),
    of_part(
        "parameters", 6, lambda rng, fresh: iter([("",), ("net.",)]), _found, returned=("values", "paths"),
        slips=[
            ("{f\"{name}.{i}\": v for i, v in enumerate(value)} if isinstance(value, list) else {name: value}",
             "{name: value}", "Tensors in lists are left out"),
            ("parameters(one, f\"{prefix}{path}.\")", "parameters(one, f\"{path}.\")",
             "a path begins with the prefix, and with the names on the way"),
            ("parameters(one, f\"{prefix}{path}.\")", "parameters(one, prefix)",
             "a part's own name is missing in the paths of its parameters"),
            ("found[prefix + path] = one", "found[path] = one", "the prefix is missing"),
            ("found[prefix + path] = one", "found[prefix + path] = one.data", "the values are the Tensors themselves, not arrays"),
            ("elif hasattr(one, \"__dict__\"):", "elif isinstance(one, list):", "a part may have parts: those with a __dict__"),
            ("parameters(one, f\"{prefix}{path}.\")", "parameters(one, prefix + path)", "a dot stands between the names"),
            ("f\"{name}.{i}\"", "f\"{name}.{i + 1}\"", "places in lists are counted from 0"),
        ],
        hint="vars(part) has the attributes; a part among them has a __dict__: call parameters again, with a longer prefix.",
    ),
]  # fmt: skip
