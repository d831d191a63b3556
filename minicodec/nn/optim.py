"""Adam, plain and with decoupled weight decay.

Adam keeps running means of each entry's gradient (m) and squared gradient (v), and steps by m/sqrt(v): about the
learning rate, whatever the gradient's scale [Kingma14]. Both means start at 0 and are too small at first, by the
known factor 1 - beta^t, which is divided out.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicodec.backend import chosen, xp
from minicodec.device import assign
from minicodec.ops.adam import UPDATES
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

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        beta1, beta2 = self.betas
        for name, p in self.parameters.items():
            if p.grad is None:
                continue
            self.steps[name] += 1
            t = self.steps[name]
            scale, root, decay = self.lr / (1 - beta1**t), math.sqrt(1 - beta2**t), self.lr * self.weight_decay
            numbers = {"scale": scale, "root": root, "beta1": beta1, "beta2": beta2, "eps": self.eps, "decay": decay}
            update = chosen(UPDATES, [p.data, p.grad], fit=p.dtype == p.grad.dtype == np.float32)
            update(p.data, p.grad, self.m[name], self.v[name], **numbers)

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
