"""The whole benchmark: sends out children (`child.py`), compares what they compute, and gathers their figures.

For every case, minicodec and its rivals take turns, round after round, so that all see the same weather on a machine
that does other things too. A ratio is the median of the rounds' ratios, and its spread their range. What they compute
is compared before the times are believed.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.bench import ENGINES, command, machine, start
from minicodec.bench.cases import ALONE, COMPILED, EXPORTED, LONGEST, Case
from minicodec.bench.child import Order, counted, send
from minicodec.bench.ops import quartiles
from minicodec.bench.report import Report, ratios
from minicodec.errors import InputError, brief

Say = Callable[[str], None]
Keep = Callable[[Report], None]

VERSION = 4  # of bench.json

NEEDS = {name: (name, "torch", "onnx") for name in ENGINES} | {"encodec": ("encodec", "torch", "einops")}
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
    command       the whole command as well
    rounds        of the cases, and of the whole command
    peers         of "torch", "onnxruntime", "openvino", "encodec" (the whole command); none: minicodec alone
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
    command: bool = False
    device: str = "cpu"

    def told(self) -> dict[str, Any]:
        """What bench.json says of them: all but what is measured, which its records say."""
        return {name: value for name, value in asdict(self).items() if name not in ("ops", "cases", "start", "command")}

    def implementations(self, case: Case) -> list[str]:
        """Who takes turns at a case."""
        if case.kind in ALONE or case.seconds > LONGEST:
            return ["minicodec"]
        engines = [name for name in ENGINES if name in self.peers and case.kind in EXPORTED]
        eager = [name for name in self.peers if name == "torch"]
        compiled = [f"{name}.compile" for name in eager if self.compiled and case.kind in COMPILED]
        return ["minicodec", *eager, *compiled, *engines]


def run(settings: Settings, say: Say, report: Report | None = None, keep: Keep = lambda report: None) -> Report:
    """Measure everything -> what bench.json holds (its keys are explained in `report.py`).

    report: what has been measured already, which is not measured again. keep: called with the report after each part.
    InputError: no such peer installed, a child failed, or the peer computes something else.
    """
    for peer in settings.peers:
        missing = [name for name in NEEDS.get(peer, (peer,)) if find_spec(name) is None]
        if missing:
            raise InputError(f"--peer {peer}: {', '.join(missing)} not installed; pip install {' '.join(missing)}")
    if report is None:
        report = {"version": VERSION, "machine": machine.describe(), "settings": settings.told(), "ceilings": {}}
        report |= {name: [] for name in ("ops", "cases", "ratios", "start", "command")}
    for t in settings.threads:
        if str(t) not in report["ceilings"]:
            say(f"the machine's ceilings, {counted(t)}")
            report["ceilings"][str(t)] = send(_order(settings, "ceilings", t))
    if settings.start and not report["start"]:
        report["start"] += start.measure(settings.preset, settings.rounds, say)
        keep(report)
    for t in settings.threads if settings.command else ():
        if not _has(report["command"], threads=t):
            report["command"] += command.measure(t, settings.rounds, "encodec" in settings.peers, say)
            keep(report)
    for t in [max(settings.threads)] if settings.quick else settings.threads:
        left = tuple(op for op in settings.ops if not _has(report["ops"], op=op, threads=t))
        report["ops"] += _ops(settings, left, t, report["ceilings"][str(t)]["sgemm"], say)
        keep(report)
    for case in settings.cases:
        for t in settings.threads:
            if not _has(report["cases"], case=str(case), threads=t):
                report["cases"] += _case(settings, case, t, say)
                report["ratios"] = list(ratios(report["cases"]))
                keep(report)
    return report


def begun(path: Path, settings: Settings) -> Report | None:
    """The report of a run that was stopped; None if there is none. InputError: it is none, or of another run."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        told = {"version": VERSION} | json.loads(json.dumps(settings.told()))
        found = {"version": report["version"]} | report["settings"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be gone on with: {brief(error, 200)}") from None
    if other := [name for name in told if found.get(name) != told[name]]:
        raise InputError(f"{path}: was measured with other settings ({', '.join(other)}), and cannot be gone on with")
    result: Report = report
    return result


def _has(records: list[dict[str, Any]], **values: Any) -> bool:
    """Is there one with these values?"""
    return any(all(r[name] == value for name, value in values.items()) for r in records)


def _order(settings: Settings, what: str, threads: int, **changes: Any) -> Order:
    effort: dict[str, Any] = {"seconds": 0.1, "least": 2} if settings.quick else {"seconds": 1.0, "least": 3}
    given: dict[str, Any] = {"preset": settings.preset, "quick": settings.quick, "device": settings.device}
    return Order(what, threads, **given | effort | changes)


def _ops(settings: Settings, names: tuple[str, ...], threads: int, peak: float, say: Say) -> Iterator[dict[str, Any]]:
    if names:
        say(f"operators, {counted(threads)}")
        effort = {"seconds": 0.01, "least": 3} if settings.quick else {"seconds": 0.2, "least": 5}
        for r in send(_order(settings, "ops", threads, ops=names, **effort)):
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
                order = _order(settings, name, threads, preset=case.sized(settings.preset), **asked)
                try:
                    times[name].append(send(order, PATIENCE if name.endswith(".compile") else None))
                    if turn == 0 and name != "minicodec":  # which went first
                        compare(case, name, results["minicodec"], results[name])
                except InputError as error:
                    if not name.endswith(".compile"):  # which does not work everywhere: then the table says so
                        raise
                    errors[name], times[name] = str(error), []
    for name, rounds in times.items():
        record: dict[str, Any] = {"case": str(case), "threads": threads, "implementation": name} | asdict(case)
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
