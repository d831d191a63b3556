"""A campaign: workers that try inputs, one at a time, and what came of them."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HUNG = 400  # seconds without a word, after which a worker is ended
FOREVER = 1 << 60
WORKER = "tests.campaign.worker"
MEMORY = "/dev/shm"  # where files cost no disk, and no wait for one


@dataclass
class Tally:
    """What came of the inputs of a kind. slowest in seconds of processor time, memory in bytes above idle."""

    accepted: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0
    memory: int = 0

    @property
    def inputs(self) -> int:
        """How many there were."""
        return self.accepted + self.refused + len(self.faults)


def campaign(
    seed: int, minutes: float, inputs: int | None, first: int, kinds: Sequence[str], failures: Path
) -> dict[str, Tally]:
    """Try inputs until the time, or their number, is up. What comes of input n depends on the seed and n alone."""
    found: dict[str, Tally] = {}
    end, last = time.time() + 60 * minutes, FOREVER if inputs is None else first + inputs
    while first < last and time.time() < end:
        request = {"seed": seed, "first": first, "last": last, "end": end, "only": list(kinds),
                   "failures": str(failures.resolve())}  # fmt: skip
        first = _follow(request, found)
    return found


def _follow(request: dict, found: dict[str, Tally]) -> int:
    """Start a worker and listen to it until it ends -> the number of the input to go on with."""
    memory = {"TMPDIR": MEMORY} if os.access(MEMORY, os.W_OK) else {}
    environment = (
        os.environ | memory | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    )
    command = [sys.executable, "-m", WORKER, json.dumps(request)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        number, kind, reason = -1, "", ""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            waiting = b""
            while True:
                if not selector.select(HUNG):
                    process.kill()
                    reason = f"says nothing for {HUNG} s"
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    break
                *lines, waiting = (waiting + piece).split(b"\n")
                for line in map(json.loads, lines):
                    if "begins" in line:
                        number, kind = line["begins"], line["kind"]
                    elif "ends" in line:
                        _count(found.setdefault(kind, Tally()), line, f"{request['seed']}-{line['ends']}", kind)
                        number = -1
                        request["first"] = line["ends"] + 1
        status = process.wait()
    if number < 0:
        if status:
            raise RuntimeError(f"the worker ended with status {status} before an input")
        return FOREVER
    _count(found.setdefault(kind, Tally()), {"outcome": "fault", "seconds": 0, "memory": 0,
           "why": reason or f"ended the process, status {status}"}, f"{request['seed']}-{number}", kind)  # fmt: skip
    return number + 1


def _count(tally: Tally, line: dict, name: str, kind: str) -> None:
    if line["outcome"] == "fault":
        tally.faults.append(name)
        last = line["why"].strip().splitlines()[-1]
        print(f"FAULT {name} ({kind}): {last[:300]}", flush=True)
    else:
        setattr(tally, line["outcome"], getattr(tally, line["outcome"]) + 1)
    tally.seconds += line["seconds"]
    tally.slowest = max(tally.slowest, line["seconds"])
    tally.memory = max(tally.memory, line["memory"])


def table(found: dict[str, Tally]) -> str:
    """A line for each kind, and one for all."""
    lines = [
        f"{'kind':38} {'inputs':>8} {'accepted':>8} {'refused':>8} {'faults':>6} {'ms':>6} {'slowest':>8} {'MB':>5}"
    ]
    everything = Tally()
    for name, one in sorted(found.items()):
        lines.append(_line(name, one))
        everything.accepted += one.accepted
        everything.refused += one.refused
        everything.faults += one.faults
        everything.seconds += one.seconds
        everything.slowest = max(everything.slowest, one.slowest)
        everything.memory = max(everything.memory, one.memory)
    return "\n".join([*lines, _line("all", everything)])


def _line(name: str, one: Tally) -> str:
    mean = 1000 * one.seconds / max(1, one.inputs)
    return (f"{name:38} {one.inputs:8} {one.accepted:8} {one.refused:8} {len(one.faults):6} {mean:6.1f} "
            f"{one.slowest:8.2f} {one.memory / 1e6:5.0f}")  # fmt: skip
