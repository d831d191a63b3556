"""One process that measures: `python -m minicodec.evaluation.bench.child ORDER`.

minicodec and PyTorch are never timed in one process, nor two numbers of threads: BLAS, OpenMP and Numba each keep
threads of their own, which go on spinning for a while after their work, at the next one's expense. And all of them
count their threads when they are imported. So `run.py` starts a process for each, with the environment set.

ORDER is JSON, an `Order`. The answer is a line of JSON on stdout for everything that was measured, as soon as it was.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.device import host
from minicodec.evaluation.bench import ops
from minicodec.evaluation.bench.cases import Arrays, Case
from minicodec.evaluation.bench.machine import timed
from minicodec.evaluation.bench.place import CPU, place
from minicodec.kernels.gpu.cublas import tf32


@dataclass(frozen=True)
class Order:
    """What a child is to do.

    what          "ceilings" of the machine, "ops", or whose cases: "minicodec", "torch", "torch.compile"; on a GPU
                  "minicodec", "minicodec.tf32", "torch", "torch.tf32"
    names         of the ops, or the cases as [kind, seconds, batch]
    seconds       to spend on each, and the `least` number of calls
    results       the folder to write to what the cases compute, as Case.file; if given, memory is measured as well
    device        "cpu" or "gpu"
    """

    what: str
    threads: int
    preset: str
    quick: bool
    seconds: float
    least: int
    names: tuple[Any, ...] = ()
    results: str | None = None
    device: str = "cpu"


def measure(order: Order) -> Iterator[dict[str, Any]]:
    """Everything that was ordered, one after the other."""
    if order.what == "ceilings":
        yield place(order.device).ceilings(order.seconds, order.threads)
    elif order.what == "ops":
        where = place(order.device)
        for row in ops.rows(order.quick):
            if row.op in order.names:
                yield {"results": [asdict(r) for r in ops.measure(row, where, order.seconds, order.least)]}
    else:
        with tf32(order.what == "minicodec.tf32"):
            for name in order.names:
                case = Case(*name)
                try:
                    yield _measure_case(order, case)
                except Exception as error:
                    error.add_note(str(case))
                    raise


def _measure_case(order: Order, case: Case) -> dict[str, Any]:
    if order.what.startswith("minicodec"):
        from minicodec.evaluation.bench import ours

        where = place(order.device)
        prepared, stopwatch, peak_memory = ours.prepare(case, order.preset, where), where.stopwatch, where.peak_memory
        result: Arrays = {name: host(array) for name, array in prepared.result().items()}
    else:
        from minicodec.evaluation.bench.torch_peer import cases as peer, gpu

        on_gpu = order.device == "gpu"
        stopwatch, peak_memory = (gpu.stopwatch, gpu.peak_memory) if on_gpu else (CPU.stopwatch, CPU.peak_memory)
        prepared = peer.prepare(case, order.preset, order.threads, order.what, "cuda" if on_gpu else "cpu")
        result = prepared.result()
    memory = None
    if order.results is not None:
        np.savez(Path(order.results) / case.file, **result)
        memory = peak_memory(prepared.run)
    (times,) = timed([prepared.run], order.seconds, order.least, stopwatch)
    return {"case": str(case), "times": times, "memory": memory}


def main(argument: str) -> int:
    """Carry out an order; 1 after {"error": ...}, which is one line."""
    try:
        for answer in measure(Order(**json.loads(argument))):
            print(json.dumps(answer), flush=True)
    except Exception as error:  # whatever it is, the parent has to be told
        where = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
        reason = " ".join(str(error).split())[:300]
        print(json.dumps({"error": f"{where}{type(error).__name__}: {reason}"}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
