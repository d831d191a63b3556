"""What a user waits for before anything runs, and what a long file takes of memory: all in processes of their own.

Compiling is the time that the first use takes with nothing compiled, less what it takes with everything compiled.
Memory is the height of a process that encodes (or decodes) a file, beyond one that has loaded the model and waits.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicodec import audio
from minicodec.errors import InputError
from minicodec.evaluation.bench.cases import initial_codec, normal

Record = dict[str, Any]

IMPORT = "import time; start = time.perf_counter(); import minicodec; print(time.perf_counter() - start)"

# Both begin as a process does that was started for it, and print the seconds until all is done.
CODEC = """
import time, sys
start = time.perf_counter()
import numpy as np
import minicodec
codec = minicodec.build(sys.argv[1], seed=0)
codec.decode(codec.encode(np.zeros((1, 24000), np.float32), kbps=6))
print(time.perf_counter() - start)
"""
EVERYTHING = CODEC.replace("print", """
from minicodec.evaluation.bench.cases import Case
from minicodec.evaluation.bench.ours import prepare
prepare(Case("adversarial", 1.0), sys.argv[1]).run()
print""")  # fmt: skip

# A process that is ready to encode or decode, and one that has done it: bytes.
IDLE = """
import sys
import minicodec
from minicodec.evaluation.bench.machine import status
codec = minicodec.load(sys.argv[1])
print(status("VmRSS"))
"""
DONE = """
import sys
from minicodec.cli import main
from minicodec.evaluation.bench.machine import status
assert main(sys.argv[1:]) == 0
print(status("VmHWM"))
"""

# What must not be exceeded: seconds, bytes.
LIMITS = {
    "import minicodec": 0.3,
    "first use: compiling, encode and decode and a training step": 5.0,
    "memory, encode 10 minutes": 250e6,
    "memory, decode 10 minutes": 250e6,
}


def measure(preset: str, quick: bool, rounds: int, say: Callable[[str], None]) -> Iterator[Record]:
    """A record for everything: what, unit ("s" or "bytes"), median, rounds, limit (None if there is none), met."""
    say("start-up")
    yield record("import minicodec", "s", [_number(IMPORT) for _ in range(max(3, rounds))])
    for what, code in (("encode and decode", CODEC), ("encode and decode and a training step", EVERYTHING)):
        if quick and code is EVERYTHING:
            continue
        cold, warm = [], []
        for turn in range(1 if quick else min(3, rounds)):
            say(f"first use, nothing compiled: {what}, round {turn + 1}")
            with tempfile.TemporaryDirectory() as cache:
                changes = {"NUMBA_CACHE_DIR": cache, "MINICODEC_QUIET": "1"}
                cold.append(_number(code, preset, **changes))
                warm.append(_number(code, preset, **changes))
        compiling = [a - b for a, b in zip(cold, warm, strict=True)]
        yield record(f"first use: compiling, {what}", "s", compiling)
        yield record(f"later uses: from nothing to the first {what}", "s", warm)
    if sys.platform != "linux":  # other systems do not tell
        return
    minutes = (0.25, 1) if quick else (1, 10)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.safetensors"
        initial_codec(preset).save(model)
        for length in minutes:
            yield from _memory(Path(folder), model, length, say)


def _memory(folder: Path, model: Path, minutes: float, say: Callable[[str], None]) -> Iterator[Record]:
    recording, packet, decoded = (folder / f"{minutes}{suffix}" for suffix in (".wav", ".ecdc", ".out.wav"))
    second = normal((1, 24000)) * np.float32(0.1)
    with audio.writer(recording, 1, 24000) as file:
        for _ in range(round(60 * minutes)):
            file.write(second)
    idle = _number(IDLE, str(model))
    for what, paths in (("encode", (recording, packet)), ("decode", (packet, decoded))):
        say(f"memory, {what} {_length(minutes)}")
        highest = _number(DONE, what, *map(str, paths), "-m", str(model), MINICODEC_QUIET="1")
        yield record(f"memory, {what} {_length(minutes)}", "bytes", [highest - idle])


def _length(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:g} s"
    return f"{minutes:g} minute{'s' * (minutes != 1)}"


def record(what: str, unit: str, values: list[float]) -> Record:
    """Of the rounds' values."""
    median, limit = float(np.median(values)), LIMITS.get(what)
    met = None if limit is None else median < limit
    return {"what": what, "unit": unit, "median": median, "rounds": values, "limit": limit, "met": met}


def _number(code: str, *arguments: str, **changes: str) -> float:
    """What a process prints at its end. InputError: it failed."""
    command = [sys.executable, "-c", code, *arguments]
    child = subprocess.run(command, env=os.environ | changes, text=True, capture_output=True, check=False)
    if child.returncode:
        reasons = child.stderr.strip().splitlines() or ["it says nothing; is the memory full?"]
        raise InputError(f"bench: start: the process ended with {child.returncode}: {reasons[-1]}")
    return float(child.stdout.split()[-1])
