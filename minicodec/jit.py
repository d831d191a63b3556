"""Compiled code: kept between runs where possible, and one line for whoever waits until it is there.

Numba compiles a function when it is first called, some seconds for all of an encoder, and keeps the result beside the
source, in the user's cache, or in the folder NUMBA_CACHE_DIR. Where none of these can be written, it refuses to compile
anything that is to be kept. Here that means: compiled anew in every run. MINICODEC_QUIET=1 saves the line. LLVM
optimises at level 2, in all of the process, unless NUMBA_OPT names another.

A second process compiles a part of it at the same time [ops/first_use.py], since Numba compiles one function after the
other, and this one waits for what is in its part.

What is kept holds until the source changes. Numba looks at a function's own file only; but its code contains that of
the functions it calls, which stand in files beside it. So here it holds until any file of the folder changes.
"""

import atexit
import hashlib
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, config, event
from numba.core.dispatcher import Dispatcher

# For functions that only compiled code calls: without an entrance from Python they compile in a third of the time.
ENTRANCES: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = numba.njit(cache=True, nogil=True, error_model="numpy", **ENTRANCES)


def _nothing() -> None:
    """For Numba to look for a place where this function's code could be kept."""


def _can_keep() -> bool:
    try:
        numba.njit(_nothing, cache=True)
    except RuntimeError:  # "no locator available"
        return False
    return True


@cache
def _hash(folder: Path) -> str:
    """Of all sources in it."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _stamp(locator: Any) -> Any:
    """What tells whether compiled code is out of date, in place of Numba's own."""
    file = Path(locator._py_file)
    return _hash(file.parent) if Path(__file__).parent in file.parents else _stamp_of_numba(locator)


_stamp_of_numba: Any = caching._SourceFileBackedLocatorMixin.get_source_stamp


# This process compiles what a network needs first, and the second what its way back needs, and the LSTM.
HERE = ("codec.weight_cache._mix", "ops.engine_loops.multiply_tasks")
ELSEWHERE = (
    *("ops.lstm_loops.forward", "ops.engine_loops.transposed_tasks", "ops.lstm_loops.backward"),
    *("ops.activations.leaky_relu_share", "ops.l1_distance.slopes"),
)


def _start_second_process() -> Any:
    """A process that compiles ELSEWHERE; None where it would have to take turns with this one, or cannot begin."""
    if numba.get_num_threads() == 1 or not sys.executable:
        return None
    path = [str(Path(__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "MINICODEC_QUIET": "1"}
    nobody: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    try:
        process = subprocess.Popen([sys.executable, "-m", "minicodec.ops.first_use"], env=environment, **nobody)
    except OSError:
        return None
    atexit.register(setattr, process, "returncode", 0)  # it may outlive this one, without a warning of Python's
    return process


_second_process: list[Any] = []  # once it was tried to start it


def _load(kept: Any, signature: Any, context: Any) -> Any:
    """What was compiled before, or is being compiled by the second process; None if this one is to compile it.

    Whoever lacks one of HERE is about to run a network, and so to lack all: that is when the second process starts.
    """
    found, function = _load_of_numba(kept, signature, context), kept._py_func
    name = f"{function.__module__.removeprefix('minicodec.')}.{function.__name__}"
    if found is None and name in HERE and not _second_process:
        _second_process.append(_start_second_process())
    if name in ELSEWHERE and _second_process and _second_process[0] is not None:
        while found is None and _second_process[0].poll() is None:
            time.sleep(0.02)
            found = _load_of_numba(kept, signature, context)
        found = found or _load_of_numba(kept, signature, context)  # it may have kept it and ended since we looked
    return found


_load_of_numba: Any = caching.FunctionCache.load_overload


class _Announcement(event.Listener):
    """Says, when the first of our functions is compiled and not found in the cache, what takes so long."""

    def __init__(self, line: str):
        self.line = line

    def on_start(self, compilation: Any) -> None:
        if self.line and compilation.data["dispatcher"].py_func.__module__.startswith("minicodec."):
            print(f"minicodec: {self.line}", file=sys.stderr, flush=True)
            self.line = ""

    def on_end(self, compilation: Any) -> None:
        """Nobody waits any more."""


@cache
def prepare() -> None:
    """To be called before the first function is decorated: by backend.py and by ops/__init__.py."""
    caching._SourceFileBackedLocatorMixin.get_source_stamp = _stamp  # type: ignore[method-assign]
    if "NUMBA_OPT" not in os.environ:  # Numba's default, 3, takes a sixth longer and makes nothing here faster
        config.OPT = type(config.OPT)(2)  # type: ignore[attr-defined]
    line = "compiling for this machine, which takes some seconds the first time"
    if not _can_keep():
        line = "compiling, as in every run: no folder to keep the result in can be written (NUMBA_CACHE_DIR names one)"
        Dispatcher.enable_caching = lambda self: None  # type: ignore[method-assign]
    else:
        caching.FunctionCache.load_overload = _load  # type: ignore[method-assign]
    if os.environ.get("MINICODEC_QUIET") != "1":
        event.register("numba:compile", _Announcement(line))
