"""The whole benchmark: sends out children (`child.py`), compares what they compute, and gathers their figures.

For every case, minicodec and its rivals take turns, round after round, so that all see the same weather on a machine
that does other things too. A ratio is the median of the rounds' ratios, and its spread their range. What they compute
is compared before the times are believed.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.bench import machine, start
from minicodec.bench.cases import ALONE, COMPILED, EXPORTED, Case
from minicodec.bench.child import Order, counted, send
from minicodec.bench.ops import quartiles
from minicodec.bench.report import Report, ratios
from minicodec.errors import InputError

Say = Callable[[str], None]

NEEDS = {"onnxruntime": ("onnxruntime", "torch", "onnx"), "openvino": ("openvino", "torch", "onnx")}
PATIENCE = 300.0  # seconds that torch.compile gets for a case
TOLERANCE = 1e-4  # relative to the size of an array
# Of a discriminator's gradients, sums over all that it saw of two signals that cancel; and after an update by Adam,
# which makes steps of one size from gradients that are only rounding.
TOLERANCE_STEP = 1e-2
CODES_EQUAL = 0.99  # share: two codewords can be equally near but for rounding


@dataclass(frozen=True)
class Settings:
    """What to measure.

    ops, cases    names of ops, and cases
    start         start-up and memory as well
    rounds        of the cases
    peers         of "torch", "onnxruntime", "openvino"; none: minicodec alone
    compiled      with "torch", torch.compile as well, which takes minutes before it is fast
    device        "cpu" or "gpu"
    """

    preset: str
    quick: bool
    threads: tuple[int, ...]
    rounds: int
    peers: tuple[str, ...]
    compiled: bool
    ops: tuple[str, ...]
    cases: tuple[Case, ...]
    start: bool = False
    device: str = "cpu"

    def implementations(self, case: Case) -> list[str]:
        """Who takes turns at a case."""
        if case.kind in ALONE:
            return ["minicodec"]
        engines = [name for name in self.peers if name != "torch" and case.kind in EXPORTED]
        eager = [name for name in self.peers if name == "torch"]
        compiled = [f"{name}.compile" for name in eager if self.compiled and case.kind in COMPILED]
        return ["minicodec", *eager, *compiled, *engines]


def run(settings: Settings, say: Say) -> Report:
    """Measure everything -> what bench.json holds (its keys are explained in `report.py`).

    InputError: no such peer installed, a child failed, or the peer computes something else.
    """
    for peer in settings.peers:
        missing = [name for name in NEEDS.get(peer, (peer,)) if find_spec(name) is None]
        if missing:
            raise InputError(f"--peer {peer}: {', '.join(missing)} not installed; pip install {' '.join(missing)}")
    about = machine.describe()
    ceilings = {}
    for t in settings.threads:
        say(f"the machine's ceilings, {counted(t)}")
        ceilings[str(t)] = send(_order(settings, "ceilings", t))
    rows = list(start.measure(settings.preset, settings.rounds, say)) if settings.start else []
    threads_of_ops = [max(settings.threads)] if settings.quick else settings.threads
    ops = [r for t in threads_of_ops for r in _ops(settings, t, ceilings[str(t)]["sgemm"], say)]
    cases = [r for case in settings.cases for t in settings.threads for r in _case(settings, case, t, say)]
    return {
        "version": 3,
        "machine": about,
        "settings": {name: value for name, value in asdict(settings).items() if name not in ("ops", "cases")},
        "ceilings": ceilings,
        "ops": ops,
        "cases": cases,
        "ratios": list(ratios(cases)),
        "start": rows,
    }


def _order(settings: Settings, what: str, threads: int, **changes: Any) -> Order:
    effort = {"seconds": 0.1, "least": 2} if settings.quick else {"seconds": 1.0, "least": 3}
    return Order(what, threads, settings.preset, settings.quick, settings.device, **effort | changes)


def _ops(settings: Settings, threads: int, peak: float, say: Say) -> Iterator[dict[str, Any]]:
    if settings.ops:
        say(f"operators, {counted(threads)}")
        effort = {"seconds": 0.01, "least": 3} if settings.quick else {"seconds": 0.2, "least": 5}
        for r in send(_order(settings, "ops", threads, ops=settings.ops, **effort)):
            gflops = None if r["flop"] is None else r["flop"] / r["median"] / 1e9
            yield {"threads": threads, "gflops": gflops, "share": gflops and gflops * 1e9 / peak} | r


def _case(settings: Settings, case: Case, threads: int, say: Say) -> Iterator[dict[str, Any]]:
    """A record for every implementation of a case."""
    times: dict[str, list[list[float]]] = {name: [] for name in settings.implementations(case)}
    errors: dict[str, str] = {}
    for turn in range(settings.rounds):
        with tempfile.TemporaryDirectory() as folder:
            # The first to go alternates: who follows may find the machine warmer, or slower.
            for name in list(times)[:: -1 if turn % 2 else 1]:
                if name in errors:
                    continue
                say(f"{case}: {name}, {counted(threads)}, round {turn + 1} of {settings.rounds}")
                results = {n: str(Path(folder) / f"{n}.npz") for n in ("minicodec", name)}
                asked = {"case": astuple(case), "results": results[name] if turn == 0 else None}
                order = _order(settings, name, threads, **asked)
                try:
                    times[name].append(send(order, PATIENCE if name.endswith(".compile") else None))
                    if turn == 0 and name != "minicodec":  # which went first
                        compare(case, name, results["minicodec"], results[name])
                except InputError as error:
                    if not name.endswith(".compile"):  # which does not work everywhere: then the table says so
                        raise
                    errors[name], times[name] = str(error), []
    for name, rounds in times.items():
        record: dict[str, Any] = {"case": str(case), "target": case.target, "threads": threads, "implementation": name}
        record |= {"rounds": [float(np.median(some)) for some in rounds], "error": errors.get(name)}
        yield record | (quartiles([t for some in rounds for t in some]) if rounds else {})


def compare(case: Case, name: str, ours: str, theirs: str) -> None:
    """InputError unless both computed the same: whoever computes something else may well be faster."""
    with np.load(ours) as expected, np.load(theirs) as found:
        if not found.files:
            raise InputError(f"{case}: {name} shows no results")
        for key in found.files:
            a, b = expected[key], found[key]
            if a.shape != b.shape:
                raise InputError(f"{case}: {name} gives {key} as {b.shape}, minicodec as {a.shape}")
            if a.dtype.kind == "i":
                if (equal := float((a == b).mean())) < CODES_EQUAL:
                    raise InputError(f"{case}: {name} has only {equal:.1%} of the {key} that minicodec has")
                continue
            rough = key.startswith("gradient of") or (case.kind == "adversarial" and not key.endswith("call 1"))
            error = float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(a)), 1e-30)
            if not error <= (TOLERANCE_STEP if rough else TOLERANCE):
                raise InputError(f"{case}: {name} differs from minicodec in {key} by {error:.1e}")
