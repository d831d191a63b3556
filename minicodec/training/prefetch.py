"""The thread that prepares batches in advance, beside the training."""

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

import numpy as np

AHEAD = 4  # results that wait


class Prefetcher:
    """Iterate over make(first), make(first + 1), ... without end, computed ahead in a thread.

    with Prefetcher(lambda step: folder.batch(step, 8), first_step) as batches:
        for batch in batches:
            ...

    At most `ahead` results wait. The thread ends with the `with` block, however that is left; an exception in it is
    raised by the iteration at its turn.
    """

    def __init__(self, make: Callable[[int], np.ndarray], first: int, *, ahead: int = AHEAD) -> None:
        self._make, self._next = make, first
        self._ready: queue.Queue[np.ndarray | BaseException] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)

    def __enter__(self) -> "Prefetcher":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        while not self._ready.empty():  # a thread that waits for room must wake up to see the sign
            self._ready.get()
        self._thread.join()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item: np.ndarray | BaseException = self._make(self._next)
            except BaseException as error:  # the consumer has to see it: nobody looks at this thread
                item = error
            self._next += 1
            self._ready.put(item)
            if isinstance(item, BaseException):
                return
