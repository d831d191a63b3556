"""Batches on their way to a GPU, which is still at work on the step before.

A GPU can copy and compute at the same time, if the copy is told to a stream of its own, and if the operating system
cannot move the memory that it reads meanwhile: "pinned" memory. Python then goes on at once, with two promises to keep:

    not to overwrite pinned memory while it is being copied        it waits for the copy, made two steps ago
    not to overwrite a batch on the device that a step still reads the copy waits for the step, two steps ago

So there are two places for batches, used in turn, and Python is never more than a few steps ahead.
"""

from typing import Any, NamedTuple

import numpy as np

PLACES = 2


class _Place(NamedTuple):
    pinned: Any  # NumPy's array
    batch: Any  # CuPy's
    copied: Any  # events: the batch is there
    used: Any  # and no step needs it any more


class Feed:
    """Sends batches to the GPU of this module cupy."""

    def __init__(self, cupy: Any):
        self._cupy, self._stream = cupy, cupy.cuda.Stream(non_blocking=True)
        self._places: list[_Place] = []

    def __call__(self, x: np.ndarray) -> Any:
        """A batch -> the same on the device, as long as two more have not been sent."""
        if self._places:
            self._places[-1].used.record()  # all that reads the batch before has been launched by now
        if self._places and (self._places[0].pinned.shape, self._places[0].pinned.dtype) != (x.shape, x.dtype):
            self._stream.synchronize()
            self._places.clear()
        if len(self._places) < PLACES:
            self._places.append(self._place(x))
        else:
            self._places.append(self._places.pop(0))
        pinned, batch, copied, used = self._places[-1]
        copied.synchronize()
        pinned[...] = x
        self._stream.wait_event(used)
        batch.set(pinned, stream=self._stream)
        copied.record(self._stream)
        self._cupy.cuda.get_current_stream().wait_event(copied)
        return batch

    def _place(self, x: np.ndarray) -> _Place:
        import cupyx

        events = (self._cupy.cuda.Event(disable_timing=True) for _ in range(2))
        place = _Place(cupyx.empty_pinned(x.shape, x.dtype), self._cupy.empty(x.shape, x.dtype), *events)
        place.used.record()  # memory of this array may have been another's, which is still in use
        return place
