"""The whole command: `minicodec encode`, and the released `encodec` package doing the same, from nothing to the file.

Each starts as a process, imports, loads the weights of an encodec_24khz (the same random ones), encodes ten seconds and
writes the file. A small process between the benchmark and them reads what the system says they used: whoever starts a
process hands down its own height of memory. The first run of each is not counted: it fills the caches, of compiled
functions, of Python's modules, of files.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicodec import audio
from minicodec.bench.cases import KBPS, initial_codec, normal
from minicodec.bench.child import THREADS, ask, counted
from minicodec.codec.config import preset
from minicodec.codec.files.bitstream import unpack
from minicodec.errors import InputError

PRESET = "encodec_24khz"
SECONDS = 10
CODES_EQUAL = 0.99  # share: two codewords can be equally near but for rounding
MEASURES = ("time", "processor", "memory")

RELEASED = str(Path(__file__).parent / "torch_peer" / "released.py")
METER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
wall = time.perf_counter() - start
if status:
    sys.exit(1)
print(json.dumps({"time": wall, "processor": used.ru_utime + used.ru_stime, "memory": 1024 * used.ru_maxrss}))
"""


def measure(threads: int, rounds: int, released: bool, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """A record for each implementation: time and processor in seconds, memory at most in bytes.

    All are medians; `rounds` has the figures of each round. released: the package too. InputError: a command failed,
    or the two wrote different codes.
    """
    if sys.platform != "linux":  # other systems do not tell
        return
    with tempfile.TemporaryDirectory() as folder:
        recording, weights = str(Path(folder) / "recording.wav"), str(Path(folder) / "weights")
        with audio.writer(recording, 1, 24000) as file:
            file.write(normal((1, SECONDS * 24000)) * np.float32(0.1))
        packets = {name: Path(folder) / f"{name}.ecdc" for name in ("minicodec", "encodec")[: 1 + released]}
        if released:
            weights += ".th"
            ask("bench: random weights", ["-c", METER, "-P", RELEASED, "weights", weights], {})
        else:
            weights += ".safetensors"
            initial_codec(PRESET).save(weights)
        kbps = f"{KBPS:g}"
        commands = {
            "minicodec": ["-m", "minicodec", "encode", "-q", "-f", "-m", weights, "-b", kbps, recording],
            "encodec": ["-P", RELEASED, "encode", weights, kbps, recording],
        }
        environment = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(folder) / "modules")}
        environment |= dict.fromkeys(THREADS, str(threads))
        found: dict[str, list[dict[str, float]]] = {name: [] for name in packets}
        for turn in range(1 + rounds):
            for name in list(packets)[:: -1 if turn % 2 else 1]:
                which = f"round {turn} of {rounds}" if turn else "first run"
                say(f"whole command: {name}, {counted(threads)}, {which}")
                line = ["-c", METER, *commands[name], str(packets[name])]
                found[name].append(ask(f"bench: whole command, {name}", line, environment))
        if released:
            compare(*(packet.read_bytes() for packet in packets.values()))
    for name, (_, *figures) in found.items():
        medians = {measure: float(np.median([some[measure] for some in figures])) for measure in MEASURES}
        yield {"implementation": name, "seconds": SECONDS, "threads": threads, "rounds": figures} | medians


def compare(ours: bytes, theirs: bytes) -> None:
    """InputError unless both packets hold the same codes."""
    layout = preset(PRESET).layout
    a, b = (unpack(packet, layout, "bench")[1][0].codes for packet in (ours, theirs))
    if a.shape != b.shape or (a == b).mean() < CODES_EQUAL:
        raise InputError("bench: whole command: minicodec and encodec wrote different codes")
