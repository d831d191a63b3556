"""Work in many processes, of this machine or of a Dask cluster, one thread in each, and none of them left behind.

The processes of this machine are pools of one (`concurrent.futures`): so when a process dies, it is known what it was
at. On a cluster, Dask's scheduler gives the work of a worker that died to another one.
"""

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from minicodec.console import say
from minicodec.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
State = TypeVar("State")
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
PATIENCE = 10  # seconds that a scheduler may take to answer


class Killed:
    """What comes of an item whose process died: killed, crashed, or out of memory."""


def each(
    items: deque[Item],
    work: Callable[[State, Item], Result],
    start: Callable[..., State],
    arguments: tuple[Any, ...],
    jobs: int,
    cluster: str | None = None,
    alone: Callable[[Item], bool] = lambda item: False,
) -> Iterator[tuple[Item, Result | Killed]]:
    """(item, work(state, item)) for all items, as they are done; the state is start(*arguments), once in each process.

    items: whoever iterates may append to them, what is to be tried again for example.
    jobs: processes of this machine; a single one is this process itself, which nothing protects from its work.
    alone: is an item to be done while no other is? Then nobody dies with it, and it has all the memory.
    cluster: the address of a Dask scheduler, whose workers do it instead. Functions, arguments, items and results
    travel as pickles, so all of them must trust each other; and all must have this version of minicodec.

    An exception of `start` or `work` is raised here, after the items that were begun have been finished. InputError:
    no scheduler at the address, or it is gone.
    """
    if cluster is not None:
        yield from _on_cluster(items, work, start, arguments, cluster, alone)
    elif jobs == 1:
        state = start(*arguments)
        while items:
            item = items.popleft()
            yield item, work(state, item)
    else:
        yield from _in_processes(items, work, start, arguments, jobs, alone)


def _in_processes(
    items: deque[Item],
    work: Callable[[State, Item], Result],
    start: Callable[..., State],
    arguments: tuple[Any, ...],
    jobs: int,
    alone: Callable[[Item], bool],
) -> Iterator[tuple[Item, Result | Killed]]:
    token = secrets.token_hex(8)
    pools: list[ProcessPoolExecutor] = []
    idle: list[ProcessPoolExecutor] = []
    running: dict[Future[Result], tuple[ProcessPoolExecutor, Item]] = {}

    def begin(pool: ProcessPoolExecutor, item: Item) -> None:
        with _single_threaded():  # the process starts when there is work for it
            running[pool.submit(_do, token, start, arguments, work, item)] = pool, item

    def new() -> ProcessPoolExecutor:
        # Not forked: a fork of a process with threads (Numba's, a progress bar's) can hang.
        pools.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_process))
        return pools[-1]

    try:
        while items or running:
            while items and _room(items[0], [item for _, item in running.values()], jobs, alone):
                item = items.popleft()
                try:
                    begin(idle.pop() if idle else new(), item)
                except BrokenProcessPool:  # it died while it had nothing to do
                    begin(new(), item)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, item = running.pop(future)
                result: Result | Killed
                try:
                    result = future.result()
                    idle.append(pool)
                except BrokenProcessPool:
                    pools.remove(pool)
                    result = Killed()
                yield item, result
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _room(item: Item, running: Collection[Item], limit: int, alone: Callable[[Item], bool]) -> bool:
    """May the item begin while these are running?"""
    return len(running) < (1 if alone(item) or any(map(alone, running)) else limit)


_one_at_a_time = threading.Lock()  # a Dask worker may have several threads
_state: tuple[str, Any] = ("", None)  # of which call of `each`, and what its `start` returned


def _do(token: str, start: Callable[..., Any], arguments: tuple[Any, ...], work: Callable[..., Any], item: Any) -> Any:
    global _state
    with _one_at_a_time:
        if _state[0] != token:
            _state = ("", None)
            _state = (token, start(*arguments))
        return work(_state[1], item)


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


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then gives out no more work
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers to stop; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


# On a cluster


def _on_cluster(
    items: deque[Item],
    work: Callable[[State, Item], Result],
    start: Callable[..., State],
    arguments: tuple[Any, ...],
    address: str,
    alone: Callable[[Item], bool],
) -> Iterator[tuple[Item, Result | Killed]]:
    from minicodec import __version__

    try:
        import distributed
        from distributed.comm import CommClosedError
    except ImportError:
        raise InputError("--cluster: needs Dask: pip install 'minicodec[cluster]'") from None
    lost = CancelledError, CommClosedError
    with _quiet("distributed.client"):  # what goes wrong is said here
        try:
            client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{address}: no Dask scheduler answers there ({error})") from None
        token = secrets.token_hex(8)
        running: dict[Any, Item] = {}
        finished = distributed.as_completed(loop=client.loop)
        try:
            if not client.nthreads():
                say(f"minicodec: {address}: has no workers yet: waiting for some")
            while items or running:
                # Two for each worker: so none waits, and the scheduler need not remember a million.
                try:
                    room = 2 * max(1, len(client.nthreads()))
                except OSError as error:  # it waits for a scheduler, and then gives up
                    raise CommClosedError(str(error)) from error
                while items and _room(items[0], running.values(), room, alone):
                    item = items.popleft()
                    call = (__version__, token, start, arguments, work, item)
                    future = client.submit(_do_on_cluster, *call, pure=False)
                    running[future] = item
                    finished.add(future)
                future = next(finished)
                item = running.pop(future)
                result: Result | Killed
                try:
                    result = future.result()
                except distributed.KilledWorker:  # as often as the scheduler's "allowed-failures" says
                    result = Killed()
                yield item, result
            client.run(_forget, on_error="ignore")
        except lost:
            raise InputError(f"{address}: the scheduler is gone; the same command goes on when it is back") from None
        finally:
            with contextlib.suppress(*lost):
                client.cancel(list(running), force=True)
            client.close()


@contextlib.contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """In this block it logs nothing."""
    one = logging.getLogger(logger)
    before, one.disabled = one.disabled, True
    try:
        yield
    finally:
        one.disabled = before


def _do_on_cluster(version: str, *call: Any) -> Any:
    from minicodec import __version__

    if version != __version__:
        raise InputError(f"a worker has minicodec {__version__}, not {version}")
    try:
        from numba import get_num_threads, set_num_threads
    except ImportError:
        return _do(*call)
    before = get_num_threads()  # of this thread, which Dask uses for others' work, too
    set_num_threads(1)
    try:
        return _do(*call)
    finally:
        set_num_threads(before)


def _forget() -> None:
    global _state
    with _one_at_a_time:
        _state = ("", None)
