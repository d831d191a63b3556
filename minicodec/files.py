"""Files on disk: writing one so that it is either whole or not there, and finding the clips that ship with us."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicodec.errors import InputError


@contextmanager
def write_atomically(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; what is written there becomes `path` when the block ends well.

    with write_atomically("out.wav") as temporary:
        temporary.write_bytes(data)

    The data reach the disk (fsync) before the name appears (rename), so neither a crash nor Ctrl-C leaves half a
    file under the final name; on any error the temporary file is removed. The block must do nothing but write.
    InputError: `path` exists and `overwrite` is false, is no ordinary file (a folder, /dev/null), has no folder to
    stand in, or the system refuses to write it (disk full, no permission).
    """
    path = Path(path)
    check_target(path, overwrite)
    # The suffix stays last, because some writers choose the format by it.
    temporary = path.with_name(f".{path.stem[:100]}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        _fsync(temporary)
        check_target(path, overwrite)  # somebody may have created it while we were writing
        os.replace(temporary, path)
        if os.name == "posix":  # the new name is an entry of the folder, and Windows cannot fsync a folder
            _fsync(path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


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


def check_target(path: str | os.PathLike[str], overwrite: bool) -> None:
    """InputError as in `write_atomically`: asked before long work, so that it is not done in vain."""
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"{path}: not an ordinary file, so it cannot be replaced")
    if not overwrite:
        raise InputError(f"{path}: the file exists already and is not overwritten")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)  # Windows syncs only writable files
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
