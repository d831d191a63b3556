"""A process that measures one thing: `python -m minicodec.bench.child ORDER`, and how it is started.

minicodec and PyTorch are never timed in one process, nor are two numbers of threads. BLAS, OpenMP and Numba each keep
threads of their own, which go on spinning for a while after their work, at the next one's expense; and all of them
count their threads when they are imported. So each measurement gets a process with the environment set.

ORDER is an `Order` as JSON, and so is the answer, the last line on stdout.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minicodec.bench import machine, ops
from minicodec.bench.cases import COMPARED, LONGEST, Case
from minicodec.errors import InputError

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Order:
    """What a child is to do.

    what          "ceilings" of the machine, "ops", or whose case: "minicodec", "torch", "torch.compile", an engine
    seconds       to spend on each call that is timed, and the `least` number of times to make it
    ops           names of the ops to measure
    preset        as `run_config` takes it
    case          the fields of the Case to measure
    results       the file (.npz) to write to what the case computes
    """

    what: str
    threads: int
    preset: str
    quick: bool
    device: str
    seconds: float
    least: int
    ops: tuple[str, ...] = ()
    case: tuple[Any, ...] | None = None
    results: str | None = None


def measure(order: Order) -> Any:
    """Ceilings as `machine` gives them, the list of results that `ops` gives, or the times of a case."""
    if order.what == "ceilings":
        return machine.ceilings(order.device, order.seconds, order.threads)
    if order.what == "ops":
        rows = [row for row in ops.rows(order.quick) if row.op in order.ops]
        return [result for row in rows for result in ops.measure(row, order.device, order.seconds, order.least)]
    assert order.case is not None
    case = Case(*order.case)
    if order.what == "minicodec":
        from minicodec.bench import ours

        prepared, wait = ours.prepare(case, order.preset, order.device), machine.waiting(order.device)
    elif order.what in ("onnxruntime", "openvino"):
        from minicodec.bench.torch_peer import engines

        prepared, wait = engines.prepare(case, order.preset, order.what, order.threads), machine.no_wait
    else:
        from minicodec.bench.torch_peer import cases as theirs

        compiled, on_gpu = order.what == "torch.compile", order.device == "gpu"
        prepared = theirs.prepare(case, order.preset, order.threads, compiled, "cuda" if on_gpu else "cpu")
        wait = theirs.synchronize if on_gpu else machine.no_wait
    results: dict[str, Any] = {}
    for n in range(1, 1 + COMPARED.get(case.kind, 1)):  # the first call compiles what is compiled
        begun = time.perf_counter()
        result = prepared.run()
        wait()
        taken = time.perf_counter() - begun
        results |= {f"{name}, call {n}": array for name, array in prepared.show(result).items()}
    if order.results is not None:
        np.savez(order.results, **results)
    if case.seconds > LONGEST:
        return [taken]
    return machine.timed([prepared.run], order.seconds, order.least, wait)[0]


def send(order: Order, limit: float | None = None) -> Any:
    """Have a child carry out the order. InputError: it failed, was killed, or took longer than `limit` seconds."""
    who = f"bench: {order.what}, {counted(order.threads)}{f', {Case(*order.case)}' if order.case else ''}"
    environment = dict.fromkeys(THREADS, str(order.threads))
    return ask(who, ["-m", "minicodec.bench.child", json.dumps(asdict(order))], environment, limit)


def ask(who: str, arguments: Sequence[str], environment: dict[str, str], limit: float | None = None) -> Any:
    """Run Python with these arguments -> the JSON in the last line that it prints. InputError, as `send`."""
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    # A session of its own: compilers start processes, which have to end with it.
    command, changed = [sys.executable, *arguments], os.environ | environment
    with subprocess.Popen(command, env=changed, start_new_session=True, **pipes) as process:
        try:
            said, complaints = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise InputError(f"{who}: not done in {limit:g} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
    if process.returncode:
        reason = (complaints.strip().splitlines() or ["it says nothing; is the memory full?"])[-1][:300]
        raise InputError(f"{who}: the process ended with {process.returncode}: {reason}")
    return json.loads(said.splitlines()[-1])


def counted(threads: int) -> str:
    """As in "2 threads"."""
    return f"{threads} thread{'s' * (threads > 1)}"


if __name__ == "__main__":
    print(json.dumps(measure(Order(**json.loads(sys.argv[1])))))
