"""The memory of a training: freed, it stays with the process; at its peak, it is reported.

A training step allocates some hundred large arrays and frees them again. The C library of most Linux systems returns
such blocks to the system at once, and the next step gets fresh, empty pages: each page of 4 KiB costs an interruption
when it is first touched, which adds up to 10 to 40 % of a step. Told to keep what is freed, it hands out the same
pages again. The price is that memory, once used, is not given back before the process ends.
"""

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np

# Parameters of glibc's mallopt(3).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed memory, for all of the process; False where it knows no such thing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())


def peak_memory() -> int | None:
    """The most bytes of physical memory that this process has held so far; None where no /proc tells.

    getrusage would tell in more places, but on Linux it starts at what the parent process held.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines())
    return int(lines["VmHWM"].removesuffix("kB")) * 1024


def memory(array: Any) -> dict[str, int | None]:
    """What a log says of it, in bytes: the process's peak, and what a GPU with the arrays of this module has given."""
    figures = {"peak_memory": peak_memory()}
    return figures if array is np else figures | {"gpu_memory": array.get_default_memory_pool().total_bytes()}
