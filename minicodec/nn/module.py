"""Module: a layer, or a network made of layers, that knows its parameters by name.

There is nothing to register. A module's attributes say what they are:

    a Tensor                       a parameter: trained by gradient descent
    a NumPy or CuPy array          a buffer: saved with the weights, but not trained by gradients (the codebooks)
    a Tensor without gradient      likewise: a layer's weights that are known (an MDCT's)
    a Module, or a list of them    a part

Names are paths of attribute names, such as `encoder.layers.3.weight_v`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from minicodec.backend import xp
from minicodec.device import assign, host, module as array_module
from minicodec.errors import InputError
from minicodec.tensor import Tensor


class Module:
    """Base of all layers and networks. Subclasses assign attributes in `__init__` and define `__call__`."""

    training = True
    __call__: Callable[..., Any]

    def parts(self) -> Iterator[tuple[str, "Module"]]:
        """(name, module) of the direct parts, in the order of their assignment."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, list):
                yield from ((f"{name}.{i}", v) for i, v in enumerate(value) if isinstance(v, Module))

    def modules(self) -> Iterator["Module"]:
        """This module and all modules in it."""
        yield self
        for _, part in self.parts():
            yield from part.modules()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """(path, parameter) of everything that is trained."""
        tensors = ((name, v) for name, v in vars(self).items() if isinstance(v, Tensor))
        yield from ((prefix + name, v) for name, v in tensors if v.requires_grad)
        for name, part in self.parts():
            yield from part.named_parameters(f"{prefix}{name}.")

    def parameters(self) -> list[Tensor]:
        """All parameters, in the order of their names."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """(path, array) of what is saved but not trained."""
        for name, v in vars(self).items():
            if isinstance(v, Tensor) and not v.requires_grad:
                yield prefix + name, v.data
            elif _is_array(v):
                yield prefix + name, v
        for name, part in self.parts():
            yield from part.named_buffers(f"{prefix}{name}.")

    def state_dict(self) -> dict[str, Any]:
        """Path -> array for all parameters and buffers: the arrays themselves, not copies."""
        return {name: p.data for name, p in self.named_parameters()} | dict(self.named_buffers())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over parameters and buffers, copied and cast to the precision they have here.

        Raises ValueError that lists every missing, surplus or misshapen name; then nothing has been changed.
        """
        own = self.state_dict()
        wrong = [f"missing {name}" for name in own if name not in state]
        wrong += [f"surplus {name}" for name in state if name not in own]
        wrong += [
            f"{name} has shape {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
            for name in own
            if name in state and tuple(state[name].shape) != tuple(own[name].shape)
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        for name, array in own.items():
            assign(array, state[name])

    def to(self, device: str) -> Self:
        """Move parameters and buffers to "cpu" or "gpu" -> itself. InputError: there is no GPU, or it is full.

        Buffers of whole numbers stay with Python: they count, and it decides by them what to do next.
        """
        array = array_module(device)
        for part in self.modules():
            for name, value in vars(part).items():
                if isinstance(value, Tensor):
                    value.data = _moved(value.data, array)
                elif _is_array(value) and value.dtype.kind == "f":
                    setattr(part, name, _moved(value, array))
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of the last step."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> None:
        """Switch all parts to training (codebooks learn) or, with False, to evaluation."""
        for module in self.modules():
            module.training = mode

    def eval(self) -> None:
        """Switch all parts to evaluation."""
        self.train(False)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or xp(value) is not np


def _moved(value: Any, array: Any) -> Any:
    try:
        return host(value) if array is np else array.asarray(value)
    except MemoryError:
        raise InputError("device gpu: too little memory for the model") from None


def parameter(array: Any) -> Tensor:
    """A float32 Tensor that is trained."""
    return Tensor(np.ascontiguousarray(array, np.float32), requires_grad=True)
