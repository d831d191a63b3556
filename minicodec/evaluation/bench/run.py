"""The whole benchmark: sends out children (`child.py`), compares what they compute, and gathers their figures.

For every case, minicodec and its rival take turns, round after round, so that both see the same weather on a machine
that is doing other things, too. A ratio is the median of the rounds' ratios, and its spread their range. What the two
compute is compared before the times are believed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.errors import InputError
from minicodec.evaluation.bench import machine
from minicodec.evaluation.bench.cases import COMPILED, LATER, PEERED, Case, work
from minicodec.evaluation.bench.child import Order
from minicodec.evaluation.bench.report import Report, ratios

TOLERANCE = 1e-4  # relative to the size of an array
TOLERANCE_LATER = 1e-2  # after an update by Adam, which makes steps of one size from gradients that are only rounding
CODES_EQUAL = 0.99  # share: two codewords can be equally near but for rounding
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

Say = Callable[[str], None]


class ChildError(InputError):
    """A child that could not do its work. The message is one line that says which and why."""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    ops, cases    names of ops, and cases
    rounds        of the cases
    peer          "torch", or None to measure minicodec alone
    """

    preset: str
    quick: bool
    threads: tuple[int, ...]
    rounds: int
    peer: str | None
    ops: tuple[str, ...]
    cases: tuple[Case, ...]

    def implementations(self) -> tuple[str, ...]:
        """Who takes turns. torch.compile needs a minute for some cases before it is fast, so not in a quick run."""
        if self.peer is None:
            return ("minicodec",)
        return ("minicodec", "torch") if self.quick else ("minicodec", "torch", "torch.compile")


def run(settings: Settings, say: Say) -> Report:
    """Measure everything -> what bench.json holds (its keys are explained in `report.py`).

    InputError: no such peer installed, a child failed, or the peer computes something else.
    """
    if settings.peer is not None and find_spec(settings.peer) is None:
        raise InputError(f"--peer {settings.peer}: it is not installed; pip install {settings.peer}")
    before = machine.describe()
    ceilings = {str(t): _ceilings(settings, t, say) for t in settings.threads}
    threads_of_ops = [max(settings.threads)] if settings.quick else settings.threads
    records = [r for t in threads_of_ops for r in _ops(settings, t, ceilings[str(t)]["sgemm"], say)]
    cases = list(_cases(settings, ceilings, say))
    return {
        "version": 1,
        "machine": before,
        "settings": {name: value for name, value in asdict(settings).items() if name not in ("ops", "cases")},
        "ceilings": ceilings,
        "ops": records,
        "cases": cases,
        "ratios": list(ratios(cases)),
    }


def _order(settings: Settings, what: str, threads: int, **changes: Any) -> Order:
    effort = {"seconds": 0.1, "least": 2} if settings.quick else {"seconds": 1.0, "least": 5}
    return Order(what=what, threads=threads, preset=settings.preset, quick=settings.quick, **(effort | changes))


def _ceilings(settings: Settings, threads: int, say: Say) -> dict[str, float]:
    say(f"the machine's ceilings, {_threads(threads)}")
    (answer,) = send(_order(settings, "ceilings", threads))
    return answer


def _ops(settings: Settings, threads: int, peak: float, say: Say) -> Iterator[dict[str, Any]]:
    if settings.ops:
        say(f"operators, {_threads(threads)}")
        effort = {"seconds": 0.01, "least": 3} if settings.quick else {"seconds": 0.2, "least": 5}
        for answer in send(_order(settings, "ops", threads, names=settings.ops, **effort)):
            for r in answer["results"]:
                yield {"threads": threads} | r | rates(r["flop"], r["median"], peak)


def rates(flop: float | None, seconds: float, peak: float) -> dict[str, float | None]:
    """GF/s, and their share of the peak."""
    if flop is None:
        return {"gflops": None, "share": None}
    return {"gflops": flop / seconds / 1e9, "share": flop / seconds / peak}


def _cases(settings: Settings, ceilings: dict[str, dict[str, float]], say: Say) -> Iterator[dict[str, Any]]:
    """A record for every case, number of threads and implementation."""
    # A quick run has no time for a process for each case; a thorough one wants turns as short as possible.
    groups = [settings.cases] if settings.quick else [(case,) for case in settings.cases]
    for group in filter(None, groups):
        for threads in settings.threads:
            answers, failures = _rounds(settings, group, threads, say)
            for case in group:
                flop, peak = work(case, settings.preset), ceilings[str(threads)]["sgemm"]
                for name in settings.implementations():
                    if has(name, case):
                        record = {"case": str(case), "kind": case.kind, "target": case.target, "threads": threads}
                        record |= {"implementation": name, "error": failures.get(name)}
                        yield record | summary([a[str(case)] for a in answers[name]], flop, peak)


def has(name: str, case: Case) -> bool:
    """Does an implementation do such work?"""
    return name == "minicodec" or case.kind in (COMPILED if name == "torch.compile" else PEERED)


def _rounds(
    settings: Settings, group: tuple[Case, ...], threads: int, say: Say
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """For every implementation its answers by case, an element for each round; and why it has none."""
    names = [name for name in settings.implementations() if any(has(name, case) for case in group)]
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in settings.implementations()}
    failures: dict[str, str] = {}
    for turn in range(settings.rounds):
        with tempfile.TemporaryDirectory() as folder:
            # The first to go alternates: who follows may find the machine warmer, or slower.
            for name in names[:: -1 if turn % 2 else 1]:
                mine = [case for case in group if has(name, case)]
                listed = str(mine[0]) if len(mine) == 1 else f"{len(mine)} cases"
                say(f"{listed}: {name}, {_threads(threads)}, round {turn + 1} of {settings.rounds}")
                order = _order(settings, name, threads, names=tuple((c.kind, c.seconds, c.batch) for c in mine))
                if turn == 0:
                    (Path(folder) / name).mkdir()
                    order = replace(order, results=str(Path(folder) / name))
                try:
                    answers[name].append({a["case"]: a for a in send(order)})
                    if turn == 0 and name != "minicodec":  # which went first
                        for case in mine:
                            compare(case, name, *(Path(folder) / n / case.file for n in ("minicodec", name)))
                except InputError as error:
                    if name != "torch.compile":  # which does not work everywhere: then the table says so
                        raise
                    failures[name], answers[name] = str(error), []
            names = [name for name in names if name not in failures]
    return answers, failures


def summary(answers: Sequence[dict[str, Any]], flop: float | None, peak: float) -> dict[str, Any]:
    """The figures of some rounds, all None if there is none: median and quartiles of all calls, medians of rounds."""
    if not answers:
        names = ("median", "lower_quartile", "upper_quartile", "gflops", "share", "memory")
        return {"rounds": []} | dict.fromkeys(names)
    times = [t for a in answers for t in a["times"]]
    low, median, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
    figures = {"median": median, "lower_quartile": low, "upper_quartile": high, "memory": answers[0]["memory"]}
    return figures | rates(flop, median, peak) | {"rounds": [float(np.median(a["times"])) for a in answers]}


def compare(case: Case, name: str, ours: Path, theirs: Path) -> None:
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
            error = float(np.linalg.norm(a - b)) / max(float(np.linalg.norm(a)), 1e-30)
            if not error <= (TOLERANCE_LATER if key.startswith(LATER) else TOLERANCE):
                raise InputError(f"{case}: {name} differs from minicodec in {key} by {error:.1e}")


def send(order: Order) -> Iterator[dict[str, Any]]:
    """Start a child, and pass on its answers as they come. ChildError: it failed, or was killed."""
    command = [sys.executable, "-m", "minicodec.evaluation.bench.child", json.dumps(asdict(order))]
    environment = os.environ | dict.fromkeys(THREADS, str(order.threads))
    who = f"bench: {order.what}, {_threads(order.threads)}"
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=environment, text=True) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            if not line.startswith("{"):  # compilers talk
                continue
            answer = json.loads(line)
            if "error" in answer:
                raise ChildError(f"{who}: {answer['error']}")
            yield answer
        if child.wait():
            stderr.seek(0)
            reasons = stderr.read().strip().splitlines() or ["it says nothing; is the memory full?"]
            raise ChildError(f"{who}: the process ended with {child.returncode}: {reasons[-1]}")


def _threads(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"
