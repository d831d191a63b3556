"""Where something is measured: on the processor, or by CuPy on a GPU. Moving arrays there, time, memory, ceilings."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from minicodec.errors import InputError
from minicodec.evaluation.bench import machine
from minicodec.nn.module import Module
from minicodec.tensor import Tensor

PEAK_SIZE = 4096  # of the matrices that a GPU multiplies; smaller ones do not fill it

Network = TypeVar("Network", bound=Module)


@dataclass(frozen=True)
class Place:
    """What there is to know.

    put, get      a NumPy array to the place; an array of the place as NumPy's
    stopwatch     seconds of a call
    peak_memory   bytes by which the process grows at the height of a call
    ceilings      (seconds to spend, threads) -> multiplications and additions per second, bytes per second
    backend       which fast pairs of the operators run there
    """

    put: Callable[[np.ndarray], Any]
    get: Callable[[Any], np.ndarray]
    stopwatch: machine.Stopwatch
    peak_memory: Callable[[Callable[[], Any]], int | None]
    ceilings: Callable[[float, int], dict[str, float]]
    backend: str

    def move(self, network: Network) -> Network:
        """A network there; itself if it is there already, else a copy."""
        if self.backend != "cupy":
            return network
        network = deepcopy(network)
        for module in network.modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, Tensor):
                    value.data = self.put(value.data)
                elif isinstance(value, np.ndarray):
                    setattr(module, name, self.put(value))
        return network


def _cpu_ceilings(seconds: float, threads: int) -> dict[str, float]:
    return {"sgemm": machine.peak(seconds), "bandwidth": machine.bandwidth(seconds, threads)}


CPU = Place(lambda array: array, np.asarray, machine.stopwatch, machine.peak_memory, _cpu_ceilings, "numba")


def place(device: str) -> Place:
    """Of "cpu" or "gpu". InputError: there is no GPU."""
    return gpu() if device == "gpu" else CPU


def gpu() -> Place:
    """The GPU. InputError: there is none, or no CuPy."""
    try:
        import cupy
    except ImportError as error:
        raise InputError("--device gpu: CuPy is not installed; pip install minicodec[cuda12] or [cuda13]") from error
    if not cupy.cuda.is_available():
        raise InputError("--device gpu: CuPy finds no GPU, or no driver for it")
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

    return Place(cupy.asarray, cupy.asnumpy, stopwatch, peak_memory, ceilings, "cupy")
