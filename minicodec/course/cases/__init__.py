"""The cases of every op: which arrays and attributes it is tested on. One file per family of ops.

A case names the shape of each input and how its entries are drawn; by default they are standard normal.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng, shape):
    """Standard normal."""
    return rng.normal(size=shape)


def positive(rng, shape):
    """In [0.5, 2]: safe under log, sqrt, division."""
    return rng.uniform(0.5, 2, size=shape)


def away_from_zero(rng, shape):
    """0.1 <= |x| <= 2, both signs: no central difference steps over the kink of abs or ELU at 0."""
    return rng.uniform(0.1, 2, size=shape) * rng.choice([-1.0, 1.0], size=shape)


def indices(n):
    """Integers in [0, n)."""
    return lambda rng, shape: rng.integers(0, n, size=shape)


@dataclass
class Case:
    """One way to call an op."""

    shapes: list[tuple[int, ...]]
    attrs: dict[str, Any] = field(default_factory=dict)
    draws: list[Draw] | Draw = normal
    seed: int = 0

    def arrays(self, dtype=np.float64):
        """The inputs, floats in the wanted precision, integers as they are."""
        rng = np.random.default_rng(self.seed)
        draws = self.draws if isinstance(self.draws, list) else [self.draws] * len(self.shapes)
        drawn = [np.asarray(draw(rng, shape)) for draw, shape in zip(draws, self.shapes, strict=True)]
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in drawn]

    def __str__(self):
        shapes = "-".join("x".join(map(str, s)) or "scalar" for s in self.shapes)
        return shapes + "".join(f"-{k}={v}" for k, v in self.attrs.items())


def all_cases() -> dict[str, list[Case]]:
    """op name -> its cases, gathered from the files of this folder."""
    cases: dict[str, list[Case]] = {}
    for module in iter_modules(__path__):
        for name, some in import_module(f"{__name__}.{module.name}").CASES.items():
            assert name not in cases, f"two files hold cases for {name}"
            cases[name] = some
    return cases
