"""How parts of my_codec are called when they are judged: arrays go in, arrays come back.

Layers are built with random weights, which are then moved: at first some are zeros, or ones, and would hide mistakes.
They compute in float64, so that a gradient is right to many digits or wrong.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicodec.course.my_codec.tensor import Tensor, gradients, parameters

LAYER = ("names of the parameters", "their values at first", "y", "dx", "the gradients of the parameters")


def constant(array: Any) -> Any:
    """A Tensor without gradient."""
    return Tensor(array)


def variable(array: Any) -> Any:
    """A Tensor whose gradient is asked for."""
    return Tensor(array, requires_grad=True)


def array_of(tensor: Any) -> Any:
    """The array inside. TypeError: it is no Tensor."""
    if not hasattr(tensor, "send_back"):
        raise TypeError(f"a Tensor should come back, not {type(tensor).__name__}")
    return tensor.data


def flat(arrays: Sequence[Any]) -> np.ndarray:
    """All numbers, one after the other."""
    return np.concatenate([np.ravel(a) for a in arrays] or [np.zeros(0)])


def both_ways(y: Any, xs: Sequence[Any], dy: Any = None) -> tuple[Any, ...]:
    """What came out of a part, and the gradients that it sends back."""
    return array_of(y), *gradients(y, list(xs), dy)


def moved(layer: Any) -> dict[str, Any]:
    """The layer's parameters by path, in float64 and away from where they were."""
    rng = np.random.default_rng(11)
    found = dict(sorted(parameters(layer).items()))
    for p in found.values():
        p.data = p.data + 0.2 * rng.normal(size=p.data.shape)
    return found


def use_layer(part: Any, sizes: tuple[int, ...], options: dict[str, Any], x: np.ndarray, seed: int) -> tuple[Any, ...]:
    """part(*sizes, rng, **options), on x (*x) -> see LAYER."""
    layer = part(*sizes, np.random.default_rng(seed), **options)
    first = dict(sorted(parameters(layer).items()))
    values = flat([p.data for p in first.values()])
    own, given = moved(layer), variable(x)
    y = layer(given)
    dy = np.random.default_rng(seed + 1).normal(size=array_of(y).shape)
    dx, *others = gradients(y, [given, *own.values()], dy)
    return " ".join(own), values, y.data, dx, flat(others)
