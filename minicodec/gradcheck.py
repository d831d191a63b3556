"""Is this backward the derivative of that forward? Ask the forward.

The forward maps arrays to an array y. A backward is right when, for ANY dy, it returns the gradient of the number
<y, dy>. So draw dy at random (all ones would hide whole classes of bugs: whatever is lost where gradients cancel in
the sum), move one entry of one input by +eps and by -eps, and see how much the number moves:

    d<y, dy>/dx_i  =  (<y(x_i + eps), dy> - <y(x_i - eps), dy>) / (2 eps)  +  O(eps²)

In float64 with eps = 1e-6 and values of order 1, the truncation error is about 1e-12 and the rounding error about
1e-10, so agreement to a relative 1e-6 is a strong statement. In float32 the rounding error alone would be 1e-1.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

EPS = 1e-6


def numeric_grad(f: Callable[[], Any], x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Central differences of <f(), dy> with respect to every entry of x (float64), which f reads.

    x is changed in place and restored.
    """
    g = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + EPS
        above = np.vdot(f(), dy)
        x[i] = kept - EPS
        below = np.vdot(f(), dy)
        x[i] = kept
        g[i] = (above - below) / (2 * EPS)
    return g


def check(
    pair: tuple[Callable[..., Any], Callable[..., Any]],
    arrays: Sequence[np.ndarray],
    attrs: dict[str, Any],
    rng: np.random.Generator,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-8,
) -> None:
    """Raise AssertionError unless the pair's backward is the derivative of its forward, in every entry.

    arrays: the inputs, float64 where a gradient is expected; integer inputs (indices) are left alone, and the
    backward must return None for them.
    """
    forward, backward = pair
    y, saved = forward(*arrays, **attrs)
    dy = rng.normal(size=np.shape(y))
    grads = backward(dy, saved, **attrs)
    for n, (x, dx) in enumerate(zip(arrays, grads, strict=True)):
        if x.dtype.kind != "f":
            assert dx is None, f"input {n} holds integers: its gradient must be None"
            continue
        assert x.dtype == np.float64, f"input {n} is {x.dtype}: gradients are checked in float64"
        expected = numeric_grad(lambda: forward(*arrays, **attrs)[0], x, dy)
        np.testing.assert_allclose(dx, expected, rtol, atol, err_msg=f"gradient of input {n}, shape {x.shape}")
