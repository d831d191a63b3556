"""The process in which inputs are tried, one after the other. It says what it begins and what came of it, in JSON.

An input can end it: by a fault in a library of C, or by its size. Whoever started it knows then which one it was.
"""

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ADDRESSES = 3 << 30  # bytes of them that the process may have beyond those that it begins with


def main(request: dict) -> None:
    """request: seed, first, last (numbers of inputs), end (time), step, only (kinds), failures (a folder)."""
    os.environ.setdefault("MINICODEC_QUIET", "1")
    from tests.campaign.kinds import load
    from tests.campaign.samples import Samples
    from tests.campaign.watch import Case, empty, resident, watched

    # Elsewhere than stdout and stderr, where libraries write.
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    kinds = [kind for kind in load().values() if not request["only"] or kind.name in request["only"]]
    shares = np.array([kind.weight for kind in kinds])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "case"
        folder.mkdir()
        (Path(place) / "samples").mkdir()
        samples = Samples(Path(place) / "samples")

        def case(number: int) -> tuple:
            rng = np.random.default_rng([request["seed"], number])
            return kinds[rng.choice(len(kinds), p=shares / shares.sum())], Case(rng, folder, samples)

        for kind in kinds:  # what libraries take when they are first used is no input's doing
            if kind.weight > 0.1:
                watched(kind.work, Case(np.random.default_rng(0), folder, samples), 0)
                empty(folder)
        _limit()
        idle = resident()
        print(json.dumps({"idle": idle}), file=out)
        for number in range(request["first"], request["last"]):
            if time.time() > request["end"]:
                break
            one, made = case(number)
            print(json.dumps({"begins": number, "kind": one.name}), file=out)
            result = watched(one.work, made, idle)
            if "why" in result:
                kept = Path(request["failures"]) / f"{request['seed']}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(folder, kept, symlinks=True)
                (kept / "why.txt").write_text(
                    f"{one.name}\n{result['why']}\n{result['said']}\n", "utf-8", "backslashreplace"
                )
            empty(folder)
            print(json.dumps({"ends": number} | result), file=out)


def _limit() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
