"""The files of a tree of folders, and what becomes of their names."""

import os
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path

from minicodec.errors import InputError

# Bytes of a second of sound, as files usually have it: how much work a file is, without opening all of them.
USUAL = {".flac": 60_000, ".ogg": 16_000, ".oga": 16_000, ".opus": 12_000, ".mp3": 16_000, ".ecdc": 750}
UNCOMPRESSED = 96_000


@dataclass(frozen=True)
class Source:
    """A file: its name relative to the folder, with slashes on every system; bytes; when it changed, in ns."""

    name: str
    size: int
    modified: int

    @property
    def guess(self) -> float:
        """About how many seconds of sound it has."""
        return self.size / USUAL.get(Path(self.name).suffix.lower(), UNCOMPRESSED)


@dataclass(frozen=True)
class Failure:
    """What could not be done, and why, in one line."""

    name: str
    reason: str


def find(folder: Path, suffixes: Set[str], out: Path) -> tuple[list[Source], list[Failure]]:
    """All files below a folder with one of the suffixes, sorted by name; and what could not be looked at.

    Links are followed, but not back to a folder that they lie in. Names that begin with a dot are left out, and so is
    `out` where it lies in `folder`. InputError: there is no such folder.
    """
    sources: list[Source] = []
    failures: list[Failure] = []
    try:
        top = _identity(os.stat(folder))
        avoid = {_identity(os.stat(out))} - {top} if out.exists() else set()
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    waiting = [("", frozenset({top} | avoid))]
    while waiting:
        inside, above = waiting.pop()
        try:
            with os.scandir(folder / inside) as entries:
                found = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            failures.append(Failure(inside or ".", f"cannot be read ({error.strerror})"))
            continue
        for entry in found:
            name = f"{inside}/{entry.name}" if inside else entry.name
            try:
                if entry.is_dir():
                    if (identity := _identity(entry.stat())) not in above:
                        waiting.append((name, above | {identity}))
                elif Path(entry.name).suffix.lower() in suffixes:
                    status = os.stat(entry.path)  # of a link that leads nowhere there is none
                    if entry.is_file():
                        sources.append(Source(name, status.st_size, status.st_mtime_ns))
            except OSError as error:
                failures.append(Failure(name, f"cannot be read ({error.strerror})"))
    return sorted(sources, key=lambda source: source.name), failures


def targets(sources: list[Source], rename: Callable[[Path], Path]) -> dict[str, str]:
    """Name of a source -> name of what becomes of it. InputError: two have one."""
    taken: dict[str, str] = {}
    for source in sources:
        target = rename(Path(source.name)).as_posix()
        if (other := taken.setdefault(target, source.name)) != source.name:
            raise InputError(f"{target}: both {other} and {source.name} would become it: rename one of them")
    return {source: target for target, source in taken.items()}


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
