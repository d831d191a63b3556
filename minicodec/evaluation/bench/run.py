"""The whole benchmark: sends out children (`child.py`), compares what they compute, and gathers their figures.

For every case, minicodec and its rivals take turns, round after round, so that all see the same weather on a machine
that is doing other things, too. A ratio is the median of the rounds' ratios, and its spread their range. What they
compute is compared before the times are believed.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.errors import InputError
from minicodec.evaluation.bench import machine, start
from minicodec.evaluation.bench.cases import COMPILED, PEERED, Case
from minicodec.evaluation.bench.child import Order
from minicodec.evaluation.bench.compare import compare
from minicodec.evaluation.bench.report import Report, ratios
from minicodec.evaluation.bench.send import LateError, counted, send
from minicodec.evaluation.bench.work import work

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What to measure.

    ops, cases    names of ops, and cases
    start         start-up and memory as well
    rounds        of the cases
    peer          "torch", or None to measure minicodec alone
    compiled      torch.compile as well, which takes minutes before it is fast
    patience      seconds that torch.compile gets for a case; then "not in time" is the result
    device        "cpu" or "gpu"
    """

    preset: str
    quick: bool
    threads: tuple[int, ...]
    rounds: int
    peer: str | None
    compiled: bool
    ops: tuple[str, ...]
    cases: tuple[Case, ...]
    start: bool = False
    patience: float = 300.0
    device: str = "cpu"

    def implementations(self) -> tuple[str, ...]:
        """Who takes turns."""
        variants = ("", ".tf32") if self.device == "gpu" else ("", ".compile") if self.compiled else ("",)
        ours = ("minicodec", "minicodec.tf32") if self.device == "gpu" else ("minicodec",)
        return ours if self.peer is None else (*ours, *(self.peer + variant for variant in variants))


def run(settings: Settings, say: Say) -> Report:
    """Measure everything -> what bench.json holds (its keys are explained in `report.py`).

    InputError: no such peer installed, a child failed, or the peer computes something else.
    """
    if settings.peer is not None and find_spec(settings.peer) is None:
        raise InputError(f"--peer {settings.peer}: it is not installed; pip install {settings.peer}")
    before = machine.describe()
    ceilings = {str(t): _ceilings(settings, t, say) for t in settings.threads}
    rows = list(start.measure(settings.preset, settings.quick, settings.rounds, say)) if settings.start else []
    threads_of_ops = [max(settings.threads)] if settings.quick else settings.threads
    records = [r for t in threads_of_ops for r in _ops(settings, t, ceilings[str(t)]["sgemm"], say)]
    cases = list(_cases(settings, ceilings, say))
    return {
        "version": 2,
        "machine": before,
        "settings": {name: value for name, value in asdict(settings).items() if name not in ("ops", "cases")},
        "ceilings": ceilings,
        "ops": records,
        "cases": cases,
        "ratios": list(ratios(cases)),
        "start": rows,
    }


def _order(settings: Settings, what: str, threads: int, **changes: Any) -> Order:
    effort: dict[str, Any] = {"seconds": 0.1, "least": 2} if settings.quick else {"seconds": 1.0, "least": 3}
    order = Order(what, threads, settings.preset, settings.quick, device=settings.device, **effort)
    return replace(order, **changes)


def _ceilings(settings: Settings, threads: int, say: Say) -> dict[str, float]:
    say(f"the machine's ceilings, {counted(threads)}")
    (answer,) = send(_order(settings, "ceilings", threads))
    return answer


def _ops(settings: Settings, threads: int, peak: float, say: Say) -> Iterator[dict[str, Any]]:
    if settings.ops:
        say(f"operators, {counted(threads)}")
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
                        record |= {"limit": case.limit, "audio": case.seconds * case.batch, "implementation": name}
                        record |= failures.get(name, {"error": None, "late": None})
                        yield record | summary([a[str(case)] for a in answers[name]], flop, peak)


def has(name: str, case: Case) -> bool:
    """Does an implementation do such work?"""
    return name.startswith("minicodec") or case.kind in (COMPILED if name == "torch.compile" else PEERED)


def _rounds(
    settings: Settings, group: tuple[Case, ...], threads: int, say: Say
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, dict[str, Any]]]:
    """For every implementation its answers by case, an element for each round; and why it has none."""
    names = [name for name in settings.implementations() if any(has(name, case) for case in group)]
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in settings.implementations()}
    failures: dict[str, dict[str, Any]] = {}
    for turn in range(settings.rounds):
        with tempfile.TemporaryDirectory() as folder:
            # The first to go alternates: who follows may find the machine warmer, or slower.
            for name in names[:: -1 if turn % 2 else 1]:
                mine = [case for case in group if has(name, case)]
                listed = str(mine[0]) if len(mine) == 1 else f"{len(mine)} cases"
                say(f"{listed}: {name}, {counted(threads)}, round {turn + 1} of {settings.rounds}")
                order = _order(settings, name, threads, names=tuple((c.kind, c.seconds, c.batch) for c in mine))
                if turn == 0:
                    (Path(folder) / name).mkdir()
                    order = replace(order, results=str(Path(folder) / name))
                compiles = name == "torch.compile"
                try:
                    answers[name].append({a["case"]: a for a in send(order, settings.patience if compiles else None)})
                    if turn == 0 and name != "minicodec":  # which went first
                        for case in mine:
                            compare(case, name, *(Path(folder) / n / case.file for n in ("minicodec", name)))
                except InputError as error:
                    if not compiles:  # which does not work everywhere: then the table says so
                        raise
                    late, reason = isinstance(error, LateError), str(error)
                    reason = f"{listed}: {reason}, compiling included" if late else reason
                    failures[name], answers[name] = {"error": reason, "late": settings.patience if late else None}, []
            names = [name for name in names if name not in failures]
    return answers, failures


def summary(answers: Sequence[dict[str, Any]], flop: float | None, peak: float) -> dict[str, Any]:
    """The figures of some rounds, all None if there is none: of all calls, and the medians of the rounds."""
    if not answers:
        names = ("median", "lower_quartile", "upper_quartile", "slowest", "gflops", "share", "memory")
        return {"rounds": []} | dict.fromkeys(names)
    times = [t for a in answers for t in a["times"]]
    low, median, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
    figures = {"median": median, "lower_quartile": low, "upper_quartile": high, "slowest": max(times)}
    figures |= {"memory": answers[0]["memory"]} | rates(flop, median, peak)
    return figures | {"rounds": [float(np.median(a["times"])) for a in answers]}
