"""What this machine can do at most, and what a call takes of it.

Two ceilings bound every operator: how many multiplications and additions a second (the peak: what BLAS reaches in a
large product of matrices), and how many bytes a second come from memory and go there (the bandwidth).
"""

import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.device import module

PEAK_SIZE = {"cpu": 1024, "gpu": 4096}  # rows and columns of the matrices: smaller ones do not fill a GPU
BANDWIDTH_BYTES = 2**27  # of the array that is copied: beyond all caches
PATIENCE = 5
VERSIONS = ("numpy", "numba", "torch", "onnxruntime", "openvino")  # of what takes part
THREADING = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMBA_", "TORCHINDUCTOR_")  # how such variables begin


def no_wait() -> None:
    """What a CPU needs after a call. A GPU may be at work still: there it is a function that waits for its end."""


def waiting(device: str) -> Callable[[], None]:
    """What has to be called on a device before its time is read."""
    return no_wait if device == "cpu" else module(device).cuda.Device().synchronize


def timed(
    functions: Sequence[Callable[[], Any]], seconds: float, least: int = 5, wait: Callable[[], None] = no_wait
) -> list[list[float]]:
    """Call the functions by turns for so many seconds each, and `least` times or more -> the seconds of each call.

    By turns, so that a busy moment of the machine hurts all of them. First calls may compile: make them before. What
    would take more than PATIENCE times as long as it should is called less often than `least`, but at least once.
    """
    times: list[list[float]] = [[] for _ in functions]
    begun = time.perf_counter()
    planned = seconds * len(functions)
    while True:
        for function, taken in zip(functions, times, strict=True):
            wait()
            start = time.perf_counter()
            function()
            wait()
            taken.append(time.perf_counter() - start)
        passed, enough = time.perf_counter() - begun, len(times[0]) >= least
        if passed >= planned and (enough or passed >= PATIENCE * planned > 0):
            return times


def ceilings(device: str, seconds: float, threads: int) -> dict[str, float]:
    """{"sgemm": multiplications and additions per second, "bandwidth": bytes per second}."""
    return {"sgemm": peak(seconds, device), "bandwidth": bandwidth(seconds, threads, device)}


def peak(seconds: float, device: str = "cpu") -> float:
    """Multiplications and additions per second of BLAS in a product of two float32 matrices."""
    N = PEAK_SIZE[device]
    a, b = (module(device).asarray(np.random.default_rng(i).standard_normal((N, N), np.float32)) for i in (0, 1))
    return 2 * N**3 / min(timed([lambda: a @ b], seconds, wait=waiting(device))[0])


def bandwidth(seconds: float, threads: int, device: str = "cpu") -> float:
    """Bytes per second, read and written, of copying a large array: on a CPU in so many threads."""
    source = module(device).ones(BANDWIDTH_BYTES // 4, np.float32)
    if device == "gpu":
        times = timed([source.copy], seconds, wait=waiting(device))[0]
    else:
        target = np.zeros_like(source)
        parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
        with ThreadPoolExecutor(threads) as pool:
            times = timed([lambda: list(pool.map(lambda part: np.copyto(*part), parts))], seconds)[0]
    return 2 * source.nbytes / min(times)


def describe() -> dict[str, Any]:
    """What the figures are measured on.

    load: the processes that wanted a core in the last minute (None on Windows). environment: how threads are to behave.
    """
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in VERSIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    environment = {name: value for name, value in sorted(os.environ.items()) if name.startswith(THREADING)}
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "load": load, "environment": environment} | versions


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
