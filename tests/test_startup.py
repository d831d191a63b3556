"""A process that uses minicodec: what it finds compiled, what it waits for, and what of it stays as it was."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minicodec
from minicodec.backend import use

PACKAGE = Path(minicodec.__file__).parent
ELU = """
import numpy as np
from minicodec import functional as F
assert np.array_equal(F.elu(np.float32([2, -200])).data, [2, -1])
"""
FIRST = "minicodec: compiling for this machine, which takes some seconds the first time\n"
OFF = "minicodec: NUMBA_DISABLE_JIT is set: computing with the definitions in NumPy, which takes longer\n"


def output(code=ELU, folder=PACKAGE.parent, **changes):
    """-> stdout, stderr of a process that runs the code with the package in this folder, and a changed environment."""
    environment = {**os.environ, "MINICODEC_QUIET": "", "PYTHONPATH": str(folder), **changes}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout, process.stderr


def test_an_import_compiles_nothing(tmp_path):
    assert output("import minicodec.training.trainer", NUMBA_CACHE_DIR=str(tmp_path)) == ("", "")
    assert not list(tmp_path.rglob("*"))


@pytest.mark.thorough
def test_code_of_a_changed_file_that_others_call_is_not_used(tmp_path):
    """ELU's loop is in activations.py, expm1 in fastmath.py, which is made to give 0 here."""
    shutil.copytree(PACKAGE, tmp_path / "minicodec", ignore=shutil.ignore_patterns("__pycache__", "data"))
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert output(ELU, tmp_path, **cache) == ("", FIRST)
    assert output(ELU, tmp_path, **cache) == ("", "")
    source = tmp_path / "minicodec" / "kernels" / "cpu" / "engine" / "fastmath.py"
    text = source.read_text(encoding="utf-8")
    changed = text.replace("y = TWO * multiply_add(", "y = ZERO * multiply_add(")
    assert changed != text
    source.write_text(changed, encoding="utf-8")
    assert output(ELU.replace("-1]", "0]"), tmp_path, **cache) == ("", FIRST)


PROCESS = """
import os, signal, subprocess, sys, threading, warnings
import numba
from numba.core import event

def forbidden(*args, **kwargs):
    raise AssertionError("a process is started")
subprocess.Popen.__init__ = os.fork = os.system = forbidden

def state():
    found = {"listeners": {kind: list(of) for kind, of in event._registered.items() if of}}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("numba", "llvmlite"):
            for owner in [module, *(v for v in vars(module).values() if isinstance(v, type))]:
                for key, value in list(vars(owner).items()):
                    if callable(value) or key.isupper():
                        found[name, str(owner), key] = repr(value)
    found["signals"] = [signal.getsignal(n) for n in signal.valid_signals()]
    found["hooks"] = [sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook]
    found["filters"] = list(warnings.filters)
    return found

@numba.njit
def theirs(x):
    return x + 1
theirs(1)
import scipy.signal, scipy.fft, soundfile, safetensors  # whatever these do is not ours
before = state()
assert len(before) > 5000
import minicodec.training.trainer
"""
COMPARED = """
after = state()
print([key for key, value in before.items() if after.get(key) != value])
"""


def test_nothing_of_the_process_is_changed(tmp_path):
    """No function of any module or class of Numba's, no option, no listener, no handler; and no process is started."""
    assert output(PROCESS + ELU + COMPARED, NUMBA_CACHE_DIR=str(tmp_path)) == ("[]\n", FIRST)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_all_that_is_compiled_has_our_cache(path):
    """Numba's own would refuse to compile where no folder can be written."""
    if path.relative_to(PACKAGE) == Path("kernels/cpu/engine/machine_code.py"):
        return
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not names & {"jit", "njit", "vectorize", "guvectorize", "cfunc", "stencil"}


CODES = """
import numpy as np
import minicodec
codec = minicodec.build("tiny_24khz", seed=0)
wav = np.random.default_rng(0).normal(size=(1, 2000)).astype(np.float32)
def codes():
    return codec.encode(wav, 6)[0].codes.tolist()
first = codes()
for p in codec.encoder.parameters():
    p.data *= 2  # what was made of them is to be made again
print([first, codes()])
"""


IMPORTED = """
import sys
print([name for name in ("numba", "scipy") if name in sys.modules])
"""


def test_what_is_compiled_runs_without_importing_numba():
    """That takes longer than a clip takes to be encoded; nor anything of SciPy, which may not be there."""
    first, _ = output(CODES, NUMBA_NUM_THREADS="2")
    found, err = output(CODES + IMPORTED, NUMBA_NUM_THREADS="2")
    assert (found, err) == (f"{first}[]\n", "")


def test_without_compiling_the_definitions_run():
    """NUMBA_DISABLE_JIT=1, which debuggers set."""
    found, err = output(CODES, NUMBA_DISABLE_JIT="1")
    assert err == OFF
    with use("numpy"):
        space = {}
        exec(CODES.replace("print", "found = "), space)
    assert ast.literal_eval(found) == space["found"]
    assert space["found"][0] != space["found"][1]
    assert np.shape(space["found"]) == (2, 8, 7)
