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

from minicodec.evaluation.bench import machine, ops
from minicodec.evaluation.bench.cases import Case


@dataclass(frozen=True)
class Order:
    """What a child is to do.

    what          "ceilings" of the machine, "ops", or whose cases: "minicodec", "torch", "torch.compile", "torch.tf32"
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
        yield {"sgemm": machine.peak(order.seconds), "bandwidth": machine.bandwidth(order.seconds, order.threads)}
    elif order.what == "ops":
        for row in ops.rows(order.quick):
            if row.op in order.names:
                yield {"results": [asdict(r) for r in ops.measure(row, order.seconds, order.least)]}
    else:
        for name in order.names:
            case = Case(*name)
            try:
                yield _measure_case(order, case)
            except Exception as error:
                error.add_note(str(case))
                raise


def _measure_case(order: Order, case: Case) -> dict[str, Any]:
    if order.what == "minicodec":
        from minicodec.evaluation.bench import ours

        prepared = ours.prepare(case, order.preset)
    else:
        from minicodec.evaluation.bench.torch_peer import cases as peer

        prepared = peer.prepare(case, order.preset, order.threads, compiled=order.what == "torch.compile")
    result, memory = prepared.result(), None
    if order.results is not None:
        np.savez(Path(order.results) / case.file, **result)
        memory = machine.peak_memory(prepared.run)
    return {"case": str(case), "times": machine.timed([prepared.run], order.seconds, order.least)[0], "memory": memory}


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
