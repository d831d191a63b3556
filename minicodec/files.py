"""Files on disk: writing one so that it is either whole or not there, and finding the clips that ship with us."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minicodec.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Name = str | os.PathLike[str]

PROBE = bytes(4096)  # one block of a disk: what tells a full one from one with room
UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp", re.DOTALL)


@contextmanager
def write_atomically(path: Name, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file written there becomes `path` when the block ends well.

    with write_atomically("out.wav") as temporary:
        temporary.write_bytes(data)

    The data reach the disk (fsync) before the name appears (rename), so neither a crash nor Ctrl-C leaves half a
    file under the final name; on any error what was written is removed. (A killed process cannot do that: the next
    write to the same folder does.) A new file has the permissions that the user's umask gives, one that replaces
    another has that one's; a symbolic link stays, and the file that it points to is replaced.
    InputError: `path` exists and `overwrite` is false, is no ordinary file (a folder, /dev/null), has no folder to
    stand in, or the system refuses to write it (disk full, no permission).
    """
    path = Path(path)
    _check_name(path, overwrite)
    target = Path(os.path.realpath(path))
    with _errors_name(path):
        _remove_unfinished(target.parent)
        with _temporary_folder(target) as folder:
            temporary = folder / target.name  # the same name, because some writers choose the format by its suffix
            yield temporary
            old = target if target.exists() else folder
            temporary.chmod(old.stat().st_mode & (0o777 if old == target else 0o666))
            _fsync(temporary)
            _check_name(path, overwrite)  # somebody may have created it while we were writing
            os.replace(temporary, target)
            if os.name == "posix":  # the new name is an entry of the folder, and Windows cannot fsync a folder
                with suppress(PermissionError):  # one that cannot be listed cannot be opened either
                    _fsync(target.parent)


def check_target(path: Name, overwrite: bool, size: int = 0) -> None:
    """InputError as in `write_atomically`, before long work, so that it is not done in vain.

    It is tried: on a read-only disk, a full one, or in a folder without permission, nothing can be written. `size`:
    bytes that the file will have, for which there must be room.
    """
    path = Path(path)
    _check_name(path, overwrite)
    target = Path(os.path.realpath(path))
    with _errors_name(path):
        with _temporary_folder(target) as folder:
            (folder / target.name).write_bytes(PROBE)
        free = shutil.disk_usage(target.parent).free
    if size > free:
        raise InputError(f"{path}: needs {size} bytes; the disk has {free} left")


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on the file `path`, which stays there, empty; `waiting()` is called if another process has it.

    The lock of a process ends with it. On Windows there is none.
    """
    if fcntl is None:
        yield
        return
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def data_folder() -> Path:
    """The folder of the clips that ship with minicodec.

    An installed wheel carries them inside the package; an editable install does not, and there they are in the
    checkout beside it. InputError if neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / "README.md").is_file():
            return folder
    raise InputError(f"{package / 'data'}: the clips of minicodec are missing; install it again")


def _check_name(path: Path, overwrite: bool) -> None:
    with _errors_name(path):
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no folder {path.parent}")
        if not path.exists():
            return
        if not path.is_file():
            raise InputError(f"{path}: not an ordinary file, so it cannot be replaced")
        if not overwrite:
            raise InputError(f"{path}: the file exists already and is not overwritten")


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """A new hidden folder beside `target`, locked for as long as the block runs; then it is removed."""
    while True:
        start = target.stem[:25]  # a name may have 255 bytes, and a letter four
        folder = target.with_name(f".{start}.{secrets.token_hex(4)}.tmp")
        folder.mkdir()
        lock = _lock(folder, wait=True)
        if folder.exists():  # else another process took it for abandoned before it was locked
            break
        if lock is not None:
            os.close(lock)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_unfinished(parent: Path) -> None:
    """Remove the temporary folders of processes that are no more: nobody holds their locks.

    In a folder that may be written to but not listed, they stay.
    """
    found = []
    with suppress(PermissionError), os.scandir(parent) as entries:
        found = [Path(e.path) for e in entries if UNFINISHED.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]
    for folder in found:
        if (lock := _lock(folder, wait=False)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path, wait: bool) -> int | None:
    """An open descriptor with the only lock on a folder. None: another has it, or there are no locks on this disk."""
    if fcntl is None:
        return None
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return descriptor
        except OSError:
            os.close(descriptor)
    return None


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)  # Windows syncs only writable files
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
