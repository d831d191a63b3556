"""A command on a folder: what is done is skipped, the rest is done by many processes, and what failed is named.

    OUT/minicodec.jsonl     what was made of which file (index.py)
    OUT/.lock               which process is at work in it (lock.py)
    OUT/failed.csv          path and reason of what could not be done; not there if all could

Files are given out in units of some minutes of sound, long ones first, so that nobody waits for the last one. A
process that dies loses nothing: each file of its unit is tried again in the end, while nothing else runs, and one that
kills a second process is given up. Nothing of OUT depends on how many have worked on it.
"""

import csv
import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from minicodec.console import one_line
from minicodec.corpus import index as indices
from minicodec.corpus.index import Index, Record, as_it_was, sha256
from minicodec.corpus.tree import Failure, Source
from minicodec.errors import InputError
from minicodec.files import write_atomically
from minicodec.workers import Killed, each

FAILED = "failed.csv"
UNIT = 120.0  # seconds of sound, about, that are given to a process at a time; less
UNITS = 256  # if there would be fewer units than that, so that all processes of a large machine have some
KILLER = "two processes died at it: killed, crashed, or out of memory (fewer --jobs need less)"

# What a command does with a file: (source, target or None) -> facts for the record, "seconds" at least. What is told
# about the file is in "notices", and codes that are to be put into a shard are in "codes".
Act = Callable[[Path, Path | None], Record]


@dataclass(frozen=True)
class Unit:
    """Files for a process, each with the name of what becomes of it (none: it becomes part of a shard)."""

    files: tuple[tuple[Source, str | None], ...]
    suspect: bool = False  # a process died at it

    @property
    def guess(self) -> float:
        """About how many seconds of sound."""
        return sum(source.guess for source, _ in self.files)


class Output(Protocol):
    """In which form results are kept: `Files` here, or shards [shards.py]."""

    def units(self, sources: Sequence[Source]) -> list[Unit]:
        """The work."""

    def keep(self, results: Sequence[Record | Failure]) -> list[Record]:
        """What is finished with these results, and is on the disk -> records for the index."""


class Files:
    """A file for each file. targets: its name by that of the source."""

    def __init__(self, targets: Mapping[str, str]):
        self._targets = targets

    def units(self, sources: Sequence[Source]) -> list[Unit]:
        """Long files first."""
        return cut(sorted(sources, key=lambda s: (-s.guess, s.name)), self._targets, unit_for(sources))

    def keep(self, results: Sequence[Record | Failure]) -> list[Record]:
        """Who did the work has written the files."""
        return [result for result in results if isinstance(result, dict)]


@dataclass(frozen=True)
class Done:
    """What has come of some files: their results, and about how many seconds of sound they were."""

    results: Sequence[Record | Failure]
    guess: float


def unit_for(sources: Sequence[Source]) -> float:
    """How many seconds of sound should be a unit."""
    return min(UNIT, sum(source.guess for source in sources) / UNITS)


def cut(sources: Sequence[Source], targets: Mapping[str, str], unit: float) -> list[Unit]:
    """The files in units of at least `unit` seconds, in their order."""
    units: list[Unit] = []
    waiting: list[tuple[Source, str | None]] = []
    seconds = 0.0
    for source in sources:
        waiting.append((source, targets.get(source.name)))
        seconds += source.guess
        if seconds >= unit:
            units.append(Unit(tuple(waiting)))
            waiting, seconds = [], 0.0
    return [*units, Unit(tuple(waiting))] if waiting else units


def open_index(out: Path, settings: Record, taken: Sequence[Path], force: bool) -> Index:
    """The index to go on with, or a new one.

    InputError: `out` holds what was made with other settings, or, without an index, one of the files `taken`, which
    would be overwritten. force: then all is done again.
    """
    old = indices.read(out) if out.is_dir() else None
    if old is None or force:
        there = [path for path in taken if os.path.lexists(path)]
        if there and not force:
            raise InputError(f"{there[0]}: the file exists already, and no index tells who made it; -f overwrites it")
        return Index(out, settings, {})
    if changed := [key for key in settings.keys() | old.settings.keys() if settings.get(key) != old.settings.get(key)]:
        what = ", ".join(sorted(changed))
        raise InputError(f"{out}: was made with other settings ({what}); choose another folder, or -f does all again")
    return old


def drop_replaced(index: Index, targets: Mapping[str, str]) -> None:
    """Drop the records of files whose outputs now belong to others: a.flac has gone, and a.wav becomes a.npy too."""
    outputs = set(targets.values())
    if gone := [one["file"] for one in index if one["file"] not in targets and one["output"] in outputs]:
        index.forget(gone)


def left(sources: Sequence[Source], index: Index, folder: Path, check: bool) -> list[Source]:
    """The files of `folder` that are not done, or have changed since, or whose output is not what was written.

    check: by checksums, not by sizes and times.
    """
    seen: dict[str, Any] = {}

    def state(output: str) -> Any:
        if output not in seen:
            path = index.out / output
            seen[output] = None
            with suppress(OSError):
                seen[output] = sha256(path) if check else path.stat().st_size
        return seen[output]

    def done(source: Source) -> bool:
        if source.name not in index:
            return False
        record = index[source.name]
        whole = state(record["output"]) == record["output_sha256" if check else "bytes"]
        return whole and as_it_was(source, record, folder / source.name, check)

    return [source for source in sources if not done(source)]


def run(
    folder: Path,
    index: Index,
    output: Output,
    sources: Sequence[Source],
    make: Callable[..., Act],
    arguments: tuple[Any, ...],
    jobs: int,
    cluster: str | None = None,
) -> Iterator[Done]:
    """Do the files and keep what comes of them; what is yielded is on the disk. make(*arguments) is what does one."""
    todo = deque(output.units(sources))
    where = folder, index.out
    work = each(todo, _work, _begin, (make, arguments, where), jobs, cluster, alone=lambda unit: unit.suspect)
    for unit, results in work:
        if isinstance(results, Killed):
            if not unit.suspect:
                todo.extend(Unit((file,), suspect=True) for file in unit.files)
                continue
            results = [Failure(unit.files[0][0].name, KILLER)]
        if records := output.keep(results):
            index.add([{k: v for k, v in record.items() if k not in ("notices", "codes")} for record in records])
        yield Done(results, unit.guess)


def write_failures(out: Path, failures: Sequence[Failure]) -> None:
    """OUT/failed.csv, or none."""
    if not failures:
        (out / FAILED).unlink(missing_ok=True)
        return
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["path", "reason"])
    rows.writerows([one.name, one.reason] for one in sorted(failures, key=lambda one: one.name))
    with write_atomically(out / FAILED, overwrite=True) as temporary:
        temporary.write_text(table.getvalue(), encoding="utf-8", errors="backslashreplace", newline="")


# In the processes


def _begin(make: Callable[..., Act], arguments: tuple[Any, ...], where: tuple[Path, Path]) -> tuple[Act, Path, Path]:
    return make(*arguments), *where


def _work(state: tuple[Act, Path, Path], unit: Unit) -> list[Record | Failure]:
    act, folder, out = state
    return [_attempt(act, folder, source, None if name is None else out / name, name) for source, name in unit.files]


def _attempt(act: Act, folder: Path, source: Source, target: Path | None, name: str | None) -> Record | Failure:
    """One file. Whatever goes wrong with it is told, and the others go on."""
    path = folder / source.name
    try:
        before = path.stat()
        record = {"file": source.name, "size": before.st_size, "modified": before.st_mtime_ns, "sha256": sha256(path)}
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        record |= act(path, target)
        if target is not None:
            record |= {"output": name, "bytes": target.stat().st_size, "output_sha256": sha256(target)}
        return record
    except InputError as error:
        return Failure(source.name, one_line(str(error).removeprefix(f"{path}: ")))
    except OSError as error:
        return Failure(source.name, f"{error.filename or path}: {error.strerror or error}")
    except MemoryError:
        return Failure(source.name, "not enough memory")
    except Exception as error:  # a fault of ours: that file is named, and a night's work goes on
        return Failure(source.name, f"{type(error).__name__}: {one_line(error)}")
