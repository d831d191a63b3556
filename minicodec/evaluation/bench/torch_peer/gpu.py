"""How PyTorch's side is timed on a GPU, and how much of its memory it takes."""

from collections.abc import Callable
from typing import Any

import torch


def stopwatch(function: Callable[[], Any]) -> float:
    """The seconds of a call, as the GPU sees them."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    function()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


def peak_memory(function: Callable[[], Any]) -> int:
    """Bytes that PyTorch takes from the device at the height of a call, beyond what it held before."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    function()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_reserved()) - before
