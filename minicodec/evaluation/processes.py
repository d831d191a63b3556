"""Work on many files in many processes, one thread in each, and none of them left behind."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Item = TypeVar("Item")
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


def each(
    items: Sequence[Item],
    work: Callable[[Item], None],
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    jobs: int,
) -> Iterator[Item]:
    """Call work(item) for all items (at least one) in `jobs` processes; yield each item when it is done.

    Every process begins with start(*arguments); a single job is done in this one. An exception of `work` is raised
    here, after the items that were begun have been finished. Raises BrokenProcessPool if a process is killed.
    """
    if jobs == 1:
        start(*arguments)
        for item in items:
            work(item)
            yield item
        return
    with _single_threaded():
        # Not forked: a fork of a process with threads (Numba's, a progress bar's) can hang.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(jobs, len(items)), context, _start, (start, arguments))
        futures = {pool.submit(work, item): item for item in items}
    try:
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes that start here have one thread each for BLAS and Numba: there are enough processes."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then gives out no more work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers to stop; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
