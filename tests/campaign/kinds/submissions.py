"""What students hand in. Reading is tried in this process, whole gradings, rarely, by the command."""

import csv
import json
import resource
import subprocess
import sys

from minicodec.course import reading
from tests.campaign.kinds import kind
from tests.campaign.spoil import pick, spoiled_bytes, spoiled_json
from tests.campaign.watch import Case

SNR = """
import numpy as np
from minicodec.course import exercise

@exercise
def snr(signal, estimate):
    return 10 * np.log10((signal**2).sum() / ((estimate - signal) ** 2).sum())
"""
LINES = (
    "x = {[]: 1}", "y = " + "-" * 200 + "1", "%timeit f()", "!pip install evil", "quantize?", "TWO: int = 1 + 1",
    "f = lambda x: x", "# -*- coding: nowhere -*-", "\ufeffimport os", "def snr(:", "    return", "\x00", "'\\ud800'",
    "class A: pass", "import nowhere", "from os import *", "snr = library('snr')", "(" * 150, "'''", "a = b = snr",
    "for i in range(3): TABLE.append(i)", "%%bash", "async def snr(): ...", "match 1:\n  case 1: pass", "é = 1", "\f",
)  # fmt: skip
BODIES = (
    "raise SystemExit(0)", "return None", "return 'x' * 10**7", "raise ValueError('\\ud800\\x1b[31m')",
    "import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)", "return [signal] * 1000", "raise KeyboardInterrupt",
    "import os; os.write(1, b'x'); os.close(1); return 1", "return np.zeros((3, 3), object)", "return float('nan')",
    "import sys; sys.setrecursionlimit(10**6); return snr(signal, estimate)", "return bytearray(1 << 34)",
    "import os; [os.write(n, b'{\"ends\": \"snr\"}\\n') for n in range(3, 120)]", "print('x' * 10**6)",
)  # fmt: skip
ATTEMPT = "import numpy as np\nfrom minicodec.course import exercise\n\n@exercise\ndef snr(signal, estimate):\n    "


@kind("submission: reading", 8)
def read(case: Case) -> None:
    """A notebook or a .py file: its answer is found wherever Python can be made of it."""
    rng = case.rng
    lines = SNR.splitlines()
    for _ in range(int(rng.integers(4))):
        lines.insert(int(rng.integers(len(lines) + 1)), pick(rng, LINES))
    cells = ["\n".join(lines), *(pick(rng, LINES) for _ in range(int(rng.integers(3))))]
    if rng.random() < 0.5:
        notebook = {"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4}
        path = case.write("a.ipynb", spoiled_json(rng, notebook) if rng.random() < 0.7 else json.dumps(notebook))
    else:
        data = "\n".join(cells).encode("utf-8", "replace")
        path = case.write("a.py", spoiled_bytes(rng, data, header=len(data)) if rng.random() < 0.7 else data)
    source = case.call(reading.read, path)
    if source is not None:
        case.call(source.needed, source.defines())


@kind("submission: grading", 0.005)
def grade(case: Case) -> None:
    """Whatever one student hands in, another one's right answer has its points, and everybody has a row."""
    rng, folder = case.rng, case.folder / "in"
    case.write("in/right.py", SNR)
    case.write("in/odd.py", ATTEMPT + pick(rng, BODIES) + "\n" + pick(rng, LINES) + "\n")
    data = SNR.encode()
    case.write("in/spoiled/a.py", spoiled_bytes(rng, data, header=len(data)))
    out = case.folder / "grades.csv"
    command = [sys.executable, "-m", "minicodec", "grade", folder, "--chapter", "1", "--seconds", "5", "--memory", "1",
               "--jobs", "1", "--out", out]  # fmt: skip
    # In a process of its own: grading needs the signals and the memory that this one has limited.
    done = subprocess.run(
        command, capture_output=True, check=False, timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    )  # fmt: skip
    case.said = (case.folder / "in/odd.py").read_text() + done.stderr.decode("utf-8", "replace")
    case.demand(done.returncode == 0, f"exit status {done.returncode}")
    rows = {(row["submission"], row["exercise"]): row for row in csv.DictReader(out.open(encoding="utf-8"))}
    case.demand({name for name, _ in rows} == {"right", "odd", "spoiled"}, f"rows of {sorted(rows)}")
    case.demand(rows["right", "snr"]["status"] == "right", f"the right answer: {rows['right', 'snr']}")
