"""An operator of your own: a forward, a backward, and the proof that they belong together.

Snake, x + sin²(a·x)/a, is the activation of BigVGAN and of the Descript codec: with it a network makes periodic
signals more easily [Ziyin20].
"""

import numpy as np

from minicodec import gradcheck
from minicodec.backend import Op
from minicodec.tensor import Tensor, apply, grad


def snake_forward(x, a):
    """x (B,T,C), a (C) -> y (B,T,C)."""
    y = x + np.sin(a * x) ** 2 / a
    return y, (x, a)  # the result, and what backward needs


def snake_backward(dy, saved):
    """dy (B,T,C) -> dx (B,T,C), da (C)."""
    x, a = saved
    dx = dy * (1 + np.sin(2 * a * x))
    da = (dy * (x * np.sin(2 * a * x) / a - np.sin(a * x) ** 2 / a**2)).sum(axis=(0, 1))
    return dx, da


snake = Op("snake", snake_forward, snake_backward)

# Is this backward the derivative of that forward? Asked with central differences in float64, entry by entry.
rng = np.random.default_rng(0)
x, a = rng.normal(size=(2, 5, 3)), rng.uniform(0.5, 2, 3)
gradcheck.check((snake_forward, snake_backward), [x, a], {}, rng)
print("the gradients are right")

# It is now an operator like all others.
x, a = Tensor(x, requires_grad=True), Tensor(a, requires_grad=True)
dx, da = grad((apply(snake, x, a) ** 2).mean(), [x, a])
print("da =", da)
