"""What a user waits for before anything runs, and what a long file takes of memory: all in processes of their own.

Compiling is the time that the first use takes with nothing compiled, less what it takes with everything compiled. The
import of Numba is part of it: what is compiled runs without.
Memory is the height of a process that encodes (or decodes) a file, beyond one that has loaded the model and waits.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicodec import audio
from minicodec.bench.cases import initial_codec, normal
from minicodec.bench.child import ask

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
from minicodec.bench.cases import Case
from minicodec.bench.ours import prepare
prepare(Case("adversarial", 1.0), sys.argv[1]).run()
print""")  # fmt: skip

# A process that is ready to encode or decode, and one that has done it: bytes (Linux).
STATUS = """
import sys
def status(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
"""
IDLE = STATUS + "import minicodec; codec = minicodec.load(sys.argv[1]); print(status('VmRSS'))"
DONE = STATUS + "from minicodec.cli import main; assert main(sys.argv[1:]) == 0; print(status('VmHWM'))"

# What must not be exceeded: seconds, bytes.
LIMITS = {
    "import minicodec": 0.3,
    "first use: compiling, encode and decode and a training step": 5.0,
    "memory, encode 10 minutes": 250e6,
    "memory, decode 10 minutes": 250e6,
}


def measure(preset: str, rounds: int, say: Callable[[str], None]) -> Iterator[Record]:
    """A record for everything: what, unit ("s" or "bytes"), median, rounds, limit (None if there is none), met."""
    say("start-up")
    yield record("import minicodec", "s", [_number(IMPORT) for _ in range(max(3, rounds))])
    for what, code in (("encode and decode", CODEC), ("encode and decode and a training step", EVERYTHING)):
        cold, warm = [], []
        for turn in range(min(3, rounds)):
            say(f"first use, nothing compiled: {what}, round {turn + 1}")
            with tempfile.TemporaryDirectory() as cache:
                cold.append(_number(code, preset, NUMBA_CACHE_DIR=cache))
                warm.append(_number(code, preset, NUMBA_CACHE_DIR=cache))
        compiling = [a - b for a, b in zip(cold, warm, strict=True)]
        yield record(f"first use: compiling, {what}", "s", compiling)
        yield record(f"later uses: from nothing to the first {what}", "s", warm)
    if sys.platform == "linux":  # other systems do not tell
        yield from _memory(preset, 10, say)


def _memory(preset: str, minutes: int, say: Callable[[str], None]) -> Iterator[Record]:
    with tempfile.TemporaryDirectory() as folder:
        model, recording, packet, decoded = (
            str(Path(folder) / name) for name in ("model.safetensors", "recording.wav", "packet.ecdc", "decoded.wav")
        )
        initial_codec(preset).save(model)
        second = normal((1, 24000)) * np.float32(0.1)
        with audio.writer(recording, 1, 24000) as file:
            for _ in range(60 * minutes):
                file.write(second)
        idle = _number(IDLE, model)
        for what, paths in (("encode", (recording, packet)), ("decode", (packet, decoded))):
            title = f"memory, {what} {minutes} minutes"
            say(title)
            yield record(title, "bytes", [_number(DONE, what, *paths, "-m", model) - idle])


def record(what: str, unit: str, values: list[float]) -> Record:
    """Of the rounds' values."""
    median, limit = float(np.median(values)), LIMITS.get(what)
    met = None if limit is None else median < limit
    return {"what": what, "unit": unit, "median": median, "rounds": values, "limit": limit, "met": met}


def _number(code: str, *arguments: str, **environment: str) -> float:
    """What a process prints at its end. InputError: it failed."""
    return float(ask("bench: start", ["-c", code, *arguments], {"MINICODEC_QUIET": "1"} | environment))
