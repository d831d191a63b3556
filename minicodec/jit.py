"""Compiled code: kept between runs where possible, and one line for whoever waits until it is there.

Numba compiles a function when it is first called, some seconds for all of an encoder, and keeps the result beside the
source, in the user's cache, or in the folder NUMBA_CACHE_DIR. Where none of these can be written, it refuses to compile
anything that is to be kept. Here that means: compiled anew in every run. MINICODEC_QUIET=1 saves the line.

What is kept holds until the source changes. Numba looks at a function's own file only; but its code contains that of
the functions it calls, which stand in files beside it. So here it holds until any file of the folder changes.
"""

import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import caching, event
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
    line = "compiling for this machine, which takes some seconds the first time"
    if not _can_keep():
        line = "compiling, as in every run: no folder to keep the result in can be written (NUMBA_CACHE_DIR names one)"
        Dispatcher.enable_caching = lambda self: None  # type: ignore[method-assign]
    if os.environ.get("MINICODEC_QUIET") != "1":
        event.register("numba:compile", _Announcement(line))
