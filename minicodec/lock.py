"""One process at a time fills a folder: a training's, or that of a converted corpus."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from minicodec.errors import InputError

NAME = ".lock"


class Lock:
    """The right to write in a folder. It ends with the process, however that ends: the system knows who is alive."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take it; nothing happens where it is held already. InputError: another process, or another Lock, has it."""
        if self._file is not None:
            return
        path = self.folder / NAME
        try:
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - it stays open
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
        weakref.finalize(self, file.close)
        try:
            _lock(file)
        except BlockingIOError:
            file.seek(0)
            owner = file.read(20)
            file.close()
            raise InputError(f"{self.folder}: another command is at work in it (process {owner})") from None
        except OSError:  # no locks on this disk: then nobody is kept out
            pass
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let others in."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Held in this block, and after it if it ends well."""
        self.acquire()
        try:
            yield
        except BaseException:
            self.release()
            raise

    @contextmanager
    def held(self) -> Iterator[None]:
        """Held in this block."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


if os.name == "nt":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(1000)  # a byte that nobody reads: on Windows a locked one cannot be read
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            raise BlockingIOError from None

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
