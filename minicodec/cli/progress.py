"""How far is the file? A bar on a terminal, a plain line now and then elsewhere; both on stderr, and both only if it
takes long.
"""

import sys
import time
from collections.abc import Iterable, Iterator

import numpy as np

EVERY = 10.0  # seconds between plain lines


def watched(blocks: Iterable[np.ndarray], sample_rate: float, seconds: float) -> Iterator[np.ndarray]:
    """The blocks (C,n), shown as they go by, of about `seconds` of audio."""
    return _with_bar(blocks, sample_rate, seconds) if sys.stderr.isatty() else _with_lines(blocks, sample_rate, seconds)


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
