"""Steps of a trainer, whose figures are read when somebody wants to see them.

On a CPU that may be after every step. On a GPU to read is to wait for it, and while Python waits it cannot tell the
GPU what comes next: there, the figures of many steps are fetched at once.
"""

from typing import Any, Protocol

import numpy as np

from minicodec.device import read, what_fits
from minicodec.errors import InputError
from minicodec.ranks import Ranks


class _Trainer(Protocol):
    step: int
    array: Any
    ranks: Ranks

    def update(self, batch: np.ndarray) -> dict[str, Any]: ...
    def check(self, step: int, figures: dict[str, float]) -> None: ...


class Steps:
    """`newest`: the figures that were read last."""

    def __init__(self, trainer: Any):
        self.trainer: _Trainer = trainer
        self.newest: dict[str, float] = {}
        self._unread: list[tuple[int, dict[str, Any]]] = []

    def make(self, batch: np.ndarray) -> None:
        """One step. InputError: the GPU has too little memory, and which batch it would have enough for."""
        step = self.trainer.step + 1
        try:
            self._unread.append((step, self.trainer.update(batch)))
            return
        except MemoryError:
            if self.trainer.array is np:
                raise
        # Only here have the arrays of the failed step been freed. The trainer is of no further use.
        self._unread = []
        if self.trainer.ranks.size > 1:  # to try other batches is nothing that a rank can do alone
            raise InputError(f"device gpu: step {step}: too little memory for {len(batch)} items of the batch")
        fits = what_fits(self.trainer.array, lambda size: self.trainer.update(batch[:size]), len(batch))
        advice = f"a batch of {fits} would fit" if fits else "not even a batch of 1 fits"
        raise InputError(f"device gpu: step {step}: too little memory for a batch of {len(batch)}; {advice}")

    def read(self) -> list[tuple[int, dict[str, float]]]:
        """(step, figures) of all steps since the last time. DivergedError: see Trainer.check.

        On a GPU, steps that came after the diverged one have been made already: whoever saves the state reads first.
        """
        steps, figures = [step for step, _ in self._unread], read([some for _, some in self._unread])
        self._unread = []
        for step, some in zip(steps, figures, strict=True):
            if self.trainer.array is not np:  # on a CPU, the trainer has looked before it changed a weight
                self.trainer.check(step, some)
            self.newest = some
        return list(zip(steps, figures, strict=True))
