"""One input under watch: how long, how much memory, and was the answer one that a user can use?

The rule for everything from outside: it is accepted, or refused with one clear line and exit status 2, and then
nothing is left behind; in LARGEST bytes and SLOWEST seconds at most.
"""

import io
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from minicodec.cli import main
from minicodec.errors import InputError
from minicodec.lock import NAME as LOCK

LARGEST = 200e6  # bytes above idle
SLOWEST = 10.0  # seconds of processor time
PATIENCE = 30  # seconds of processor time after which an input is interrupted
LINE = 1020  # characters: a message that is longer is no message


class FaultError(Exception):
    """The answer to an input is not what it should be."""


class SlowError(BaseException):
    """It took too long. No Exception: nobody is to catch it on the way."""


class Case:
    """An input: a generator that makes it, an empty folder for its files, and the good files that it begins with."""

    def __init__(self, rng: np.random.Generator, folder: Path, samples: Any):
        self.rng, self.folder, self.samples = rng, folder, samples
        self.refused = False
        self.said = ""

    def write(self, name: str, data: bytes | str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        return path

    def command(self, *argv: object, stdin: bytes = b"", prefix: str = "minicodec: ") -> bytes | None:
        """What a command prints; None: it refused. FaultError: it broke a rule. Its notices begin with `prefix`."""
        words = [os.fsdecode(a) if isinstance(a, os.PathLike | bytes) else str(a) for a in argv]
        self.said = json.dumps(words)
        before = _contents(self.folder)
        with _streams(stdin) as (out, err):
            try:
                status = main(words)
            except SystemExit as stop:  # --help and --version
                status = stop.code if isinstance(stop.code, int) else 1
        lines = err.getvalue().decode("utf-8", "backslashreplace").splitlines()
        for line in lines:
            if not line.isprintable() or len(line) > LINE or not line.startswith(prefix):
                raise FaultError(f"printed on stderr: {line[:300]!r}")
        if status == 0:
            return out.getvalue()
        if status != 2 or not lines:
            raise FaultError(f"exit status {status}, after {lines[-1:]}")
        if (after := _contents(self.folder)) != before:
            raise FaultError(f"left behind: {sorted(map(str, after.keys() ^ before.keys()))}, or changed")
        self.refused = True
        self.said += "\n" + "\n".join(lines)
        return None

    def call(self, function: Callable[..., Any], *args: Any, refusals: Any = InputError, **kwargs: Any) -> Any:
        """What a function returns; None if it refuses."""
        self.said = f"{function.__module__}.{function.__qualname__}"
        try:
            return function(*args, **kwargs)
        except refusals as error:
            self.refused = True
            message = str(error)
            self.said += f"\n{message}"
            if not message or len(message) > LINE:
                raise FaultError(f"refused with a message of {len(message)} characters: {message[:200]!r}") from error
            return None

    def demand(self, right: bool, words: str) -> None:
        """FaultError unless it is."""
        if not right:
            raise FaultError(words)


def watched(work: Callable[[Case], None], case: Case, idle: int) -> dict[str, Any]:
    """Do the work -> {"outcome", "seconds", "memory", and for a fault "why"}."""
    _reset_peak()
    before = resident()
    began, why = time.process_time(), ""
    signal.signal(signal.SIGPROF, _interrupt)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        work(case)
    except FaultError as fault:
        why = str(fault)
    except SlowError:
        why = f"is not done after {PATIENCE} s\n{traceback.format_exc()}"
    except BaseException:
        why = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds, memory = time.process_time() - began, peak() - before
    if not why and seconds > SLOWEST:
        why = f"took {seconds:.1f} s"
    if not why and memory > LARGEST:
        why = f"took {memory / 1e6:.0f} MB"
    if not why and before - idle > LARGEST:
        why = f"inputs before it left {(before - idle) / 1e6:.0f} MB"
    outcome = "fault" if why else "refused" if case.refused else "accepted"
    return {"outcome": outcome, "seconds": seconds, "memory": memory} | ({"why": why, "said": case.said} if why else {})


def peak() -> int:
    """The most memory that this process had at a time since it was last asked to forget that, in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def resident() -> int:
    """The memory of this process, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def empty(folder: Path) -> None:
    """Remove what is in a folder."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def _interrupt(*_: object) -> None:
    raise SlowError


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Name -> size and time, of everything in a folder and below."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *(name for name in files if name != LOCK)]:  # which stays, empty or with a number
            path = os.path.join(place, name)
            about = os.lstat(path)
            found[path] = (0, 0) if name in folders else (about.st_size, about.st_mtime_ns)
    return found


@contextmanager
def _streams(stdin: bytes) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """Standard streams that are in memory."""
    out, err = io.BytesIO(), io.BytesIO()
    before = sys.stdin, sys.stdout, sys.stderr
    new = (
        io.TextIOWrapper(io.BytesIO(stdin)),
        io.TextIOWrapper(out, "utf-8"),
        io.TextIOWrapper(err, "utf-8", "backslashreplace"),
    )
    sys.stdin, sys.stdout, sys.stderr = new
    try:
        yield out, err
    finally:
        for stream in new[1:]:
            stream.flush()
        sys.stdin, sys.stdout, sys.stderr = before
        for stream in new[1:]:
            stream.detach()
