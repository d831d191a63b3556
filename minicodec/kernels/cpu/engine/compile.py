"""Compiling functions with Numba, and keeping the result for the next run.

    @compiled                           a function that Python calls
    @compiled(error_model="numpy")      the same; a division by zero gives inf or NaN instead of an error
    @inner                              a function that only compiled functions call

Numba compiles a function when it is first called, some seconds for all of an encoder. Its own cache (`cache=True`)
serves us badly in three ways. It looks at the file of a function only, though the compiled code also contains the
functions that it calls, which stand in other files. It refuses to compile at all where no folder can be written. And a
damaged file ends the program. So our functions have a cache of their own, and nothing of Numba's is changed: whoever
uses Numba beside minicodec finds it as it was.

One file holds the code of one function for one signature. It begins with a checksum of the sources, the file's name and
the code. If the sources have changed, or the file is damaged, empty or somebody else's, the checksum differs, and the
function is compiled again. Like Numba's, the files are pickles: whoever can write to their folder can run code, as with
the rest of a `__pycache__`.

The folders, in this order: NUMBA_CACHE_DIR, `__pycache__` beside this package, the user's cache. A function is loaded
from the first that has it and kept in the first that can be written. One line on stderr tells whoever waits while
functions are compiled; MINICODEC_QUIET=1 saves it.
"""

import contextlib
import hashlib
import pickle
import secrets
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from minicodec.backend import say

options: Any = numba.config
PACKAGE = Path(__file__).resolve().parents[1]  # kernels/cpu
CHECKSUM = hashlib.sha256


def compiled(function: Callable[..., Any] | None = None, *, error_model: str = "python") -> Any:
    """The function, compiled when it is called first; it runs without Python's lock."""
    if function is None:
        return partial(compiled, error_model=error_model)
    how: Any = {"error_model": error_model}
    return _with_cache(numba.njit(nogil=True, **how)(function))


def inner(function: Callable[..., Any]) -> Any:
    """The same for functions that only compiled code calls.

    Without an entrance from Python and from C, such a function compiles in a third of the time.
    """
    how: Any = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return _with_cache(numba.njit(nogil=True, **how)(function))


def _with_cache(function: Any) -> Any:
    if hasattr(function, "py_func"):  # with NUMBA_DISABLE_JIT=1 it is the Python function as it was
        function._cache = _Cache(function.py_func)
    return function


class _Cache(NullCache):
    """What Numba asks for the compiled code of one function before it compiles, and gives it to afterwards."""

    def __init__(self, function: Any):
        if function.__closure__:
            raise TypeError(f"{function.__qualname__}: code is kept by name, so it must not depend on a closure")
        self.name = f"{function.__module__}.{function.__qualname__}"
        # Now, not at the first call: by then, somebody may have changed the sources of what is being run.
        # Constants of ops/ are compiled in, too.
        own = Path(function.__code__.co_filename).resolve().parent
        self.stamp = b"".join(map(_hash, (PACKAGE, PACKAGE.parents[1] / "ops", own)))

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """The code for this signature; None if it is not in the cache, and Numba will compile it."""
        target_context.refresh()
        name = self._file_name(signature, target_context.codegen())
        for folder in _folders():
            try:
                checksum, code = _split((folder / name).read_bytes())
            except OSError:
                continue
            if checksum == self._checksum(name, code):
                return CompileResult._rebuild(target_context, *pickle.loads(code))
        _announce()
        return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the code that Numba has made for this signature."""
        folder = folder_to_write()
        if folder is None or result.library.has_dynamic_globals:  # addresses that hold in this process only
            return
        code = dumps(result._reduce())
        name = self._file_name(signature, result.codegen)
        path = folder / name
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(self._checksum(name, code) + code)
            temporary.replace(path)
        except OSError as error:  # the disk is full, the folder gone
            say(f"{path}: compiled code cannot be kept ({error.strerror or error})")
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _checksum(self, name: str, code: bytes) -> bytes:
        return CHECKSUM(self.stamp + name.encode() + code).digest()

    def _file_name(self, signature: Any, codegen: Any) -> str:
        """Of what the code depends on besides the sources: types, versions, and the processor.

        Of that, what LLVM compiles for, and what it has: our tiles have its size [engine/tile.py], whatever the former.
        """
        versions = numba.__version__, sys.implementation.cache_tag, str(options.OPT)
        processor = codegen.magic_tuple(), binding.get_host_cpu_features().flatten()
        digest = CHECKSUM(repr((str(signature), versions, processor)).encode()).hexdigest()
        return f"{self.name}-{digest[:16]}.code"


def _split(content: bytes) -> tuple[bytes, bytes]:
    size = CHECKSUM().digest_size
    return content[:size], content[size:]


@cache
def _hash(folder: Path) -> bytes:
    """Of all Python sources in it, and for PACKAGE in its folders too."""
    digest = CHECKSUM()
    for file in sorted(folder.rglob("*.py") if folder == PACKAGE else folder.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()


def _folders() -> list[Path]:
    """Where compiled code may be; nowhere without sources that tell whether it is out of date (a frozen program)."""
    if not Path(__file__).is_file():
        return []
    user = Path(AppDirs("minicodec", appauthor=False).user_cache_dir)
    place = hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:16]  # each installation has its own
    named = [Path(options.CACHE_DIR) / f"minicodec_{place}"] if options.CACHE_DIR else []
    return [*named, PACKAGE / "__pycache__", user / f"compiled_{place}"]


@cache
def folder_to_write() -> Path | None:
    """The first that can be written, which is made where it is missing; None if there is none."""
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


@cache
def _announce() -> None:
    """Say, before the first of our functions is compiled, what takes so long."""
    if folder_to_write() is None:
        say("compiling, as in every run: no folder to keep the result in can be written (NUMBA_CACHE_DIR names one)")
    else:
        say("compiling for this machine, which takes some seconds the first time")
