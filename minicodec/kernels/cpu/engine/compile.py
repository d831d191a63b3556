"""Compiled functions: machine code that Numba has made once, found again and run without Numba.

    @compiled                           a function that Python calls; it returns nothing and fills arrays
    @inner                              a function that only compiled functions call
    @instruction("float32", "intp")     the same, written in LLVM's instructions: result, parameters

Numba compiles a function when it is first called, some seconds for all of an encoder. Its own cache (`cache=True`)
serves us badly. It looks at the file of a function only, though the compiled code also contains the functions that it
calls, which stand in other files. It refuses to compile at all where no folder can be written. A damaged file ends the
program. And to run what is kept takes two seconds of imports, more than a clip takes to be encoded. So our functions
have a cache of their own. Numba is imported only where something has to be compiled [machine_code.py], and nothing of
it is changed: whoever uses Numba beside minicodec finds it as it was.

One file holds the code of one function for arguments of certain kinds. It begins with a checksum of the sources, the
file's name and the code. If the sources have changed, or the file is damaged, empty or somebody else's, the checksum
differs, and the function is compiled again. The files are machine code: whoever can write to their folder can run code,
as with the rest of a `__pycache__`.

The folders, in this order: NUMBA_CACHE_DIR, `__pycache__` beside this package, the user's cache. A function is loaded
from the first that has it and kept in the first that can be written. One line on stderr tells whoever waits while
functions are compiled; MINICODEC_QUIET=1 saves it.
"""

import contextlib
import hashlib
import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding

from minicodec.backend import MAY_COMPILE, say
from minicodec.kernels.cpu.engine.entrance import Entrance, Kind, kind_of, plain

PACKAGE = Path(__file__).resolve().parents[1]  # kernels/cpu
CHECKSUM = hashlib.sha256
OPTIONS = ("NUMBA_OPT", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")  # variables that change what Numba compiles
DEFINITIONS: list[Callable[..., Any]] = []
_compiling = threading.RLock()


class Compiled:
    """A function that is compiled, or found compiled, for each combination of kinds of arguments that it meets."""

    def __init__(self, function: Callable[..., None]):
        if function.__closure__:
            raise TypeError(f"{function.__qualname__}: code is kept by name, so it must not depend on a closure")
        self.py_func = function
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.entrances: dict[Kind, Entrance] = {}
        self._ways: tuple[tuple[Any, Any], ...] = ()
        # Now, not at the first call: by then, somebody may have changed the sources of what is being run.
        # Constants of ops/ are compiled in, too.
        own = Path(function.__code__.co_filename).resolve().parent
        self._stamp = b"".join(map(_hash, (PACKAGE, PACKAGE.parents[1] / "ops", own)))

    def __call__(self, *args: Any) -> None:
        """Run it, without Python's lock. An entrance does nothing if these are not the kinds it was made for."""
        for run, landmarks in self._ways:
            if run(args, landmarks) == 0:
                return
        args = plain(args)
        self._prepare(kind_of(args)).enter(args)

    def _prepare(self, kind: Kind) -> Entrance:
        """The entrance for these kinds, from memory, from a file, or from Numba."""
        with _compiling:
            if kind not in self.entrances:
                name = _file_name(self.name, kind)
                code = self._found(name)
                if code is None:
                    code = self._made(name, kind)
                self.entrances[kind] = Entrance(code, kind)
                self._ways += (self.entrances[kind].way,)
            return self.entrances[kind]

    def _found(self, name: str) -> bytes | None:
        """The code in the file of this name; None if there is none that can be trusted."""
        for folder in _folders():
            try:
                checksum, code = _split((folder / name).read_bytes())
            except OSError:
                continue
            if checksum == self._checksum(name, code):
                return code
        return None

    def _made(self, name: str, kind: Kind) -> bytes:
        """Compile, and keep the code if that is possible."""
        _announce()
        from minicodec.kernels.cpu.engine import machine_code

        code = machine_code.make(self.py_func, kind)
        folder = folder_to_write()
        if folder is None:
            return code
        path = folder / name
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(self._checksum(name, code) + code)
            temporary.replace(path)
        except OSError as error:  # the disk is full, the folder gone
            say(f"{path}: compiled code cannot be kept ({error.strerror or error})")
            with contextlib.suppress(OSError):
                temporary.unlink()
        return code

    def _checksum(self, name: str, code: bytes) -> bytes:
        return CHECKSUM(self._stamp + name.encode() + code).digest()


def compiled(function: Callable[..., None]) -> Any:
    """The function, compiled when it is called first; with NUMBA_DISABLE_JIT=1 it is the Python function as it was."""
    return Compiled(function) if MAY_COMPILE else function


class ForCompilers:
    """What compiled code calls, and Numba knows only when it meets its name in a function that it compiles."""

    def __init__(self, function: Callable[..., Any], *signature: str | None):
        self.py_func, self.signature = function, signature
        self.made: Any = None  # what Numba has made of it

    @property
    def _numba_type_(self) -> Any:
        """Numba asks for it by this name."""
        from minicodec.kernels.cpu.engine import machine_code

        return machine_code.type_of(self)


def inner(function: Callable[..., Any]) -> Any:
    """A function that only compiled functions call; it may return numbers and tuples of them."""
    return ForCompilers(function) if MAY_COMPILE else function


def definitions(*functions: Callable[..., Any]) -> None:
    """Plain Python functions that compiled functions may call too."""
    DEFINITIONS.extend(functions)


def instruction(*signature: str | None) -> Callable[[Callable[..., Any]], Any]:
    """What emit(context, builder, signature, args) writes with LLVM's IR builder, as a function of compiled code.

    signature: the result's type and the parameters', as `numba.types` names them; None is an array of any kind.
    """
    return lambda emit: ForCompilers(emit, *signature)


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


def _file_name(function: str, kind: Kind) -> str:
    digest = CHECKSUM(repr((kind, _surroundings())).encode()).hexdigest()
    return f"{function}-{digest[:16]}.code"


@cache
def _surroundings() -> tuple[Any, ...]:
    """What the code depends on besides the sources and its arguments: versions, and the processor.

    Of that, what LLVM compiles for, and what it has: our tiles have its size [engine/tile.py], whatever the former.
    """
    versions = version("numba"), version("llvmlite"), np.__version__, sys.implementation.cache_tag
    processor = binding.get_process_triple(), binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    return versions, processor, [os.environ.get(name) for name in OPTIONS]


def _folders() -> list[Path]:
    """Where compiled code may be; nowhere without sources that tell whether it is out of date (a frozen program)."""
    if not Path(__file__).is_file():
        return []
    place = hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:16]  # each installation has its own
    named = os.environ.get("NUMBA_CACHE_DIR")
    first = [Path(named) / f"minicodec_{place}"] if named else []
    return [*first, PACKAGE / "__pycache__", _user_s_cache() / f"compiled_{place}"]


def _user_s_cache() -> Path:
    """Where programs keep what can be made again, in a folder of ours."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "minicodec" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minicodec"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minicodec"


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
