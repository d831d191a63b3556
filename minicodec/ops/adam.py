"""Adam: one step of one parameter [Kingma14]. How it is used, and what the numbers are, stands in nn/optim.py.

    m <- m + (1 - beta1) (g - m)                         running mean of the gradient g
    v <- v + (1 - beta2) (g² - v)                        running mean of its square
    p <- (1 - decay) p - scale · m / (sqrt(v) / root + eps)

No `Op`, since nobody asks for the gradient of a step, and it changes its arrays in place. But as with the ops, other
backends have functions of their own, in `kernels/`.
"""

from minicodec.backend import xp


def adam_update(p, g, m, v, *, scale, root, beta1, beta2, eps, decay):
    """p, m, v (*p) change in place, by the gradient g (*p). scale = lr / (1 - beta1^t), root = sqrt(1 - beta2^t)."""
    p *= 1 - decay
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    p -= scale * m / (xp(v).sqrt(v) / root + eps)


UPDATES = {"numpy": adam_update}  # by backend: the package of a backend's kernels adds its own
