"""Where something is measured, on the processor or on a GPU: how long it takes there, its memory, the ceilings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicodec.device import module as array_module
from minicodec.evaluation.bench import machine

PEAK_SIZE = 4096  # of the matrices that a GPU multiplies; smaller ones do not fill it


@dataclass(frozen=True)
class Place:
    """What there is to know.

    device        "cpu" or "gpu"
    backend       which fast pairs of the operators run there
    put           a NumPy array to the place
    stopwatch     seconds of a call
    peak_memory   bytes by which the process grows at the height of a call
    ceilings      (seconds to spend, threads) -> multiplications and additions per second, bytes per second
    """

    device: str
    backend: str
    put: Callable[[np.ndarray], Any]
    stopwatch: machine.Stopwatch
    peak_memory: Callable[[Callable[[], Any]], int | None]
    ceilings: Callable[[float, int], dict[str, float]]


def _cpu_ceilings(seconds: float, threads: int) -> dict[str, float]:
    return {"sgemm": machine.peak(seconds), "bandwidth": machine.bandwidth(seconds, threads)}


CPU = Place("cpu", "numba", lambda array: array, machine.stopwatch, machine.peak_memory, _cpu_ceilings)


def place(device: str) -> Place:
    """Of "cpu" or "gpu". InputError: there is no GPU."""
    return _gpu(array_module("gpu")) if device == "gpu" else CPU


def _gpu(cupy: Any) -> Place:
    pool = cupy.get_default_memory_pool()

    def stopwatch(function: Callable[[], Any]) -> float:
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        function()
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, end)) / 1e3

    def peak_memory(function: Callable[[], Any]) -> int:
        pool.free_all_blocks()
        before = pool.total_bytes()
        function()
        return int(pool.total_bytes() - before)  # it gives nothing back before it is told to

    def ceilings(seconds: float, threads: int) -> dict[str, float]:
        rng = np.random.default_rng(0)
        a, b = (cupy.asarray(rng.standard_normal((PEAK_SIZE, PEAK_SIZE), np.float32)) for _ in range(2))
        c = cupy.empty_like(a)
        product = min(machine.timed([lambda: cupy.matmul(a, b, out=c)], seconds, stopwatch=stopwatch)[0])
        source = cupy.ones(2 * machine.BANDWIDTH_BYTES // 4, cupy.float32)
        copied = min(machine.timed([source.copy], seconds, stopwatch=stopwatch)[0])
        return {"sgemm": 2 * PEAK_SIZE**3 / product, "bandwidth": 2 * source.nbytes / copied}

    return Place("gpu", "cupy", cupy.asarray, stopwatch, peak_memory, ceilings)
