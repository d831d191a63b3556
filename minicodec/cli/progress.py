"""How far is it? A bar on a terminal, and only if it takes long. Elsewhere nothing, or, for whoever asked for them,
plain lines now and then. All on stderr.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np

EVERY = 10.0  # seconds between plain lines


def watched(
    blocks: Iterable[np.ndarray], sample_rate: float, seconds: float, *, lines: bool = True
) -> Iterator[np.ndarray]:
    """The blocks (C,n), shown as they go by, of about `seconds` of audio. lines: also where there is no terminal."""
    if sys.stderr.isatty():
        yield from _with_bar(blocks, sample_rate, seconds)
    elif lines:
        yield from _with_lines(blocks, sample_rate, seconds)
    else:
        yield from blocks


@contextmanager
def download(quiet: bool) -> Iterator[Callable[[str], Callable[[int, int | None], None]] | None]:
    """For `fetch`: what shows the bytes of each file as they come; None: nothing is to be shown."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:

        def report(file: str) -> Callable[[int, int | None], None]:
            task = bar.add_task(file, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield report


def _with_bar(blocks: Iterable[np.ndarray], sample_rate: float, seconds: float) -> Iterator[np.ndarray]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    began = time.perf_counter()
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=seconds)
        done = 0.0
        for block in blocks:
            done += block.shape[1] / sample_rate
            bar.update(task, completed=done, description=_speed(done, began))
            yield block


def _with_lines(blocks: Iterable[np.ndarray], sample_rate: float, seconds: float) -> Iterator[np.ndarray]:
    began = printed = time.perf_counter()
    done = 0.0
    for block in blocks:
        done += block.shape[1] / sample_rate
        now = time.perf_counter()
        if done and now - printed >= EVERY:
            printed = now
            left = round(max(0.0, seconds - done) * (now - began) / done)
            clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
            print(f"{done:.0f} of {seconds:.0f} s  {_speed(done, began)}  {clock} left", file=sys.stderr, flush=True)
        yield block


def _speed(done: float, began: float) -> str:
    return f"{done / max(time.perf_counter() - began, 1e-9):.1f} s of audio/s"
