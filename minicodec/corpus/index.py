"""OUT/minicodec.jsonl: what was made of which file, by what; so that nothing is done twice, and no change is missed.

The first line tells the settings: command, model, rate. Each other line is a file:

    {"file": "a/b.wav", "size": 96044, "modified": 1700000000000000000, "sha256": "…", "seconds": 1.0,
     "output": "a/b.ecdc", "bytes": 812, "output_sha256": "…"}

`size`, `modified` (ns) and `sha256` are of the file as it was read. While work goes on, lines are added at the end,
each after what it tells of is on the disk; one that was cut off by a crash is left out. In the end they are sorted.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minicodec.corpus.tree import Source
from minicodec.errors import InputError
from minicodec.files import write_atomically

NAME = "minicodec.jsonl"
KINDS: dict[str, tuple[type, ...]] = {
    "file": (str,), "size": (int,), "modified": (int,), "sha256": (str,), "seconds": (int, float), "output": (str,),
    "bytes": (int,), "output_sha256": (str,),
}  # fmt: skip
Record = dict[str, Any]


class Index:
    """The index of the folder `out`: `settings`, and the records by the names of their files."""

    def __init__(self, out: Path, settings: Record, lines: dict[str, bytes]):
        self.out, self.settings = out, settings
        self._lines = lines  # of JSON: they take a third of the memory
        self._added = False

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, name: str) -> Record:
        record: Record = json.loads(self._lines[name])
        return record

    def __iter__(self) -> Iterator[Record]:
        return map(json.loads, self._lines.values())

    def forget(self, names: Iterable[str]) -> None:
        """Drop the records of these files, on the disk too."""
        for name in names:
            del self._lines[name]
        self._rewrite()

    def add(self, records: Iterable[Record]) -> None:
        """Append the records; they are on the disk when this returns."""
        lines = {record["file"]: _line(record) for record in records}
        self._lines.update(lines)
        self._added = True
        with _named(self.out / NAME), open(self.out / NAME, "ab") as file:
            file.write(b"".join(lines.values()))
            file.flush()
            os.fsync(file.fileno())

    def sort(self) -> None:
        """One line for each file, in the order of their names: the same, however many have worked on it."""
        if self._added:
            self._rewrite()

    def begin(self) -> None:
        """Write the settings into the folder, which is there, and drop what another run left half written."""
        self._rewrite()

    def _rewrite(self) -> None:
        with write_atomically(self.out / NAME, overwrite=True) as temporary, open(temporary, "wb") as file:
            file.write(_line(self.settings))
            file.writelines(self._lines[name] for name in sorted(self._lines))
        self._added = False


def read(out: Path) -> Index | None:
    """The index of a folder; None: it has none. InputError: it is damaged."""
    path = out / NAME
    if not path.exists():
        return None
    with _named(path, "read"), open(path, "rb") as file:
        first, *lines = [*file] or [b""]
    if lines and not lines[-1].endswith(b"\n"):  # it was being written
        del lines[-1]
    settings = _parsed(first, path, 1)
    found = {}
    for number, line in enumerate(lines, start=2):
        record = _parsed(line, path, number)
        if any(type(record.get(key)) not in kinds for key, kinds in KINDS.items()) or _leaves(record["output"]):
            raise _damaged(path, number)
        found[record["file"]] = line
    return Index(out, settings, found)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. OSError: it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_it_was(source: Source, record: Record, path: Path, check: bool) -> bool:
    """Is the file the one that the record tells of, by size and time, or by checksum?"""
    if check:
        try:
            return source.size == record["size"] and sha256(path) == record["sha256"]
        except OSError:  # whoever reads it will say so
            return False
    return (source.size, source.modified) == (record["size"], record["modified"])


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _parsed(line: bytes, path: Path, number: int) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise _damaged(path, number) from None
    if not isinstance(record, dict):
        raise _damaged(path, number)
    return record


def _leaves(name: str) -> bool:
    return os.path.isabs(name) or ".." in Path(name).parts


def _damaged(path: Path, number: int) -> InputError:
    return InputError(f"{path}: line {number} is damaged; delete the line, and its file is done again")


@contextmanager
def _named(path: Path, verb: str = "written") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be {verb} ({error.strerror})") from None
