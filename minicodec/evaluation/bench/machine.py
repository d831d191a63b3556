"""What this machine can do at most, and what a call takes of it: seconds and memory.

Two ceilings bound every operator: how many multiplications and additions a second (the peak: what BLAS reaches in a
large product of matrices), and how many bytes a second come from memory and go there (the bandwidth).
"""

import ctypes
import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

PEAK_SIZE = 1024  # rows and columns of the matrices
BANDWIDTH_BYTES = 2**27  # of the array that is copied: beyond all caches
PATIENCE = 20
THREADING = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMBA_", "TORCHINDUCTOR_")  # how such variables begin

Stopwatch = Callable[[Callable[[], Any]], float]


def stopwatch(function: Callable[[], Any]) -> float:
    """The seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def timed(
    functions: Sequence[Callable[[], Any]], seconds: float, least: int = 5, stopwatch: Stopwatch = stopwatch
) -> list[list[float]]:
    """Call the functions by turns for so many seconds each, and `least` times or more -> the seconds of each call.

    By turns, so that a busy moment of the machine hurts all of them. First calls may compile: make them before. What
    would take more than PATIENCE times as long as it should is called less often than `least`, but at least once.
    """
    times: list[list[float]] = [[] for _ in functions]
    start = time.perf_counter()
    planned = seconds * len(functions)
    while True:
        for function, some in zip(functions, times, strict=True):
            some.append(stopwatch(function))
        passed, enough = time.perf_counter() - start, len(times[0]) >= least
        if passed >= planned and (enough or passed >= PATIENCE * planned > 0):
            return times


def peak(seconds: float) -> float:
    """Multiplications and additions per second of BLAS in a product of two float32 matrices."""
    a, b = np.random.default_rng(0).standard_normal((2, PEAK_SIZE, PEAK_SIZE), np.float32)
    return 2 * PEAK_SIZE**3 / min(timed([lambda: a @ b], seconds)[0])


def bandwidth(seconds: float, threads: int) -> float:
    """Bytes per second, read and written, of copying a large array in so many threads."""
    source = np.ones(BANDWIDTH_BYTES // 4, np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        times = timed([lambda: list(pool.map(lambda part: np.copyto(*part), parts))], seconds)[0]
    return 2 * source.nbytes / min(times)


def peak_memory(function: Callable[[], Any]) -> int | None:
    """Bytes by which the process grows at the height of a call. None where the system does not tell (not Linux)."""
    gc.collect()
    if sys.platform != "linux":
        return None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # what the C library keeps of freed memory would hide what the call takes
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew: proc(5)
        before = status("VmRSS")
        function()
        return status("VmHWM") - before
    except OSError:
        return None


def status(name: str) -> int:
    """Bytes, from a line such as "VmHWM:     1928 kB". OSError: not on Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def describe() -> dict[str, Any]:
    """What the figures are measured on.

    load: the processes that wanted a core in the last minute (None on Windows). environment: how threads are to behave.
    """
    names = ("numpy", "numba", "torch")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "load": load, "system": platform.system()} | {
        "python": platform.python_version(), **{name: _version(name) for name in names},
        "environment": {name: value for name, value in sorted(os.environ.items()) if name.startswith(THREADING)},
    }  # fmt: skip


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
