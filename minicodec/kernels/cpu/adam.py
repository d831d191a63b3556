"""Adam in one pass over memory: the ten passes of the definition, ops/adam.py, cost several times as much."""

import numpy as np

from minicodec.kernels.cpu.engine.compile import compiled
from minicodec.ops.adam import UPDATES


@compiled
def _adam_update_loop(p, g, m, v, scale, root, beta1, beta2, eps, keep):
    one = np.float32(1)
    for i in range(p.size):
        m[i] += (one - beta1) * (g[i] - m[i])
        v[i] += (one - beta2) * (g[i] * g[i] - v[i])
        p[i] = p[i] * keep - scale * m[i] / (np.sqrt(v[i]) / root + eps)


def adam_update_numba(p, g, m, v, *, scale, root, beta1, beta2, eps, decay):
    """As `adam_update`; p, m and v are contiguous."""
    numbers = (np.float32(c) for c in (scale, root, beta1, beta2, eps, 1 - decay))
    _adam_update_loop(p.reshape(-1), np.ascontiguousarray(g).reshape(-1), m.reshape(-1), v.reshape(-1), *numbers)


UPDATES["numba"] = adam_update_numba
