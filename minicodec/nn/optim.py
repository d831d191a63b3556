"""Adam, plain and with decoupled weight decay.

Adam keeps running means of each entry's gradient (m) and squared gradient (v), and steps by m/sqrt(v): about the
learning rate, whatever the gradient's scale [Kingma14]. Both means start at 0 and are too small at first, by the
known factor 1 - beta^t, which is divided out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit

from minicodec.backend import xp
from minicodec.device import assign
from minicodec.kernels.gpu.cuda import send
from minicodec.nn.adam_cuda import Table
from minicodec.tensor import Tensor


class Adam:
    """Adam; with weight_decay > 0, AdamW: each step also shrinks the weights by lr·weight_decay [Loshchilov19].

    parameters: name -> Tensor. `step()` reads their `.grad`; a parameter without one (unused in this step) stays.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        *,
        lr: float = 3e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        self.parameters = dict(parameters)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.m = {name: xp(p.data).zeros_like(p.data) for name, p in self.parameters.items()}
        self.v = {name: xp(p.data).zeros_like(p.data) for name, p in self.parameters.items()}
        self.steps = dict.fromkeys(self.parameters, 0)
        self._tables: dict[tuple[str, ...], Table] = {}  # by who moves

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moving = [name for name, p in self.parameters.items() if p.grad is not None]
        factors, (beta1, beta2) = self.advance(moving), self.betas
        ps = {name: self.parameters[name] for name in moving}
        if table := self._table(moving):
            table.move([p.grad for p in ps.values()], beta1, beta2, self.eps)  # one launch for all
            return
        for (name, p), (scale, root, decay) in zip(ps.items(), factors, strict=True):
            update = adam_update_numba if xp(p.data) is np and p.dtype == np.float32 else adam_update
            update(p.data, p.grad, self.m[name], self.v[name], scale, root, beta1, beta2, self.eps, decay)

    def advance(self, moving: Sequence[str]) -> list[tuple[float, float, float]]:
        """Count a step of these parameters -> scale, root and decay of each, as for `adam_update`.

        On a GPU these are sent there too. It is all that `step` does besides launching a kernel: whoever replays that
        launch [training/graph.py] calls this.
        """
        (beta1, beta2), factors = self.betas, []
        for name in moving:
            self.steps[name] += 1
            t = self.steps[name]
            factors.append((self.lr / (1 - beta1**t), math.sqrt(1 - beta2**t), self.lr * self.weight_decay))
        if table := self._table(moving):
            send(table.factors, np.array([(scale, root, 1 - decay) for scale, root, decay in factors], np.float32))
        return factors

    def _table(self, moving: Sequence[str]) -> Table | None:
        """For a GPU's kernel; None where these parameters move one by one."""
        ps = [self.parameters[name].data for name in moving]
        if xp(*ps) is np or any(p.dtype != np.float32 for p in ps):
            return None
        table = self._tables.get(tuple(moving))
        if table is None or any(p is not known for p, known in zip(ps, table.ps, strict=True)):
            table = Table(ps, [self.m[name] for name in moving], [self.v[name] for name in moving])
            self._tables[tuple(moving)] = table
        return table

    def state_dict(self) -> dict[str, Any]:
        """Arrays to save: m.NAME, v.NAME and steps.NAME."""
        state = {f"m.{name}": m for name, m in self.m.items()} | {f"v.{name}": v for name, v in self.v.items()}
        return state | {f"steps.{name}": np.asarray(n) for name, n in self.steps.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; ValueError when it belongs to other parameters."""
        if state.keys() != self.state_dict().keys():
            raise ValueError("the optimiser's state belongs to other parameters")
        for name in self.parameters:
            assign(self.m[name], state[f"m.{name}"])
            assign(self.v[name], state[f"v.{name}"])
            self.steps[name] = int(state[f"steps.{name}"])


def adam_update(p, g, m, v, scale, root, beta1, beta2, eps, decay):
    """The definition: one step of one parameter, in place. scale = lr / (1 - beta1^t), root = sqrt(1 - beta2^t)."""
    p *= 1 - decay
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    p -= scale * m / (xp(v).sqrt(v) / root + eps)


@njit(cache=True, error_model="numpy")  # Python's asks at every division for a zero, and no vectors come of it
def _adam_update_loop(p, g, m, v, scale, root, beta1, beta2, eps, keep):
    one = np.float32(1)
    for i in range(p.size):
        m[i] += (one - beta1) * (g[i] - m[i])
        v[i] += (one - beta2) * (g[i] * g[i] - v[i])
        p[i] = p[i] * keep - scale * m[i] / (np.sqrt(v[i]) / root + eps)


def adam_update_numba(p, g, m, v, scale, root, beta1, beta2, eps, decay):
    """The same in one pass over memory: at 3.5 M parameters NumPy's ten passes cost several times as much."""
    numbers = (np.float32(c) for c in (scale, root, beta1, beta2, eps, 1 - decay))
    _adam_update_loop(p.reshape(-1), np.ascontiguousarray(g).reshape(-1), m.reshape(-1), v.reshape(-1), *numbers)
