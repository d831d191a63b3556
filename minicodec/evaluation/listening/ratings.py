"""The CSV file of a listening test: a journal, to which rows are only ever added.

A row is written whenever a slider comes to rest (state `draft`), and once more for all conditions when the listener
leaves the screen (`final`). The last row of a session, clip and condition is the one that counts. So nothing is lost
when a tab is closed or the server stopped, and the test goes on from the file alone.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from minicodec.errors import InputError
from minicodec.files import exclusive

DRAFT, FINAL = "draft", "final"


@dataclass(frozen=True)
class Rating:
    """A row: `time` in UTC, `session` 32 hexadecimal digits, `listener` a name or nothing, `score` 0 … 100."""

    time: str
    session: str
    listener: str
    clip: str
    condition: str
    score: int
    state: str


HEADER = [field.name for field in fields(Rating)]
FORMULA = re.compile(r"((?:^|;)[ \"]*)(?=['=+\-@＝＋－＠\t\r\n])")  # where one would begin
GUARDED = re.compile(r"((?:^|;)[ \"]*)'")  # what stands there instead


def append(path: Path, ratings: Iterable[Rating]) -> None:
    """Add rows, and return when they are on the disk. Several servers may share a file: one writes at a time.

    OSError: the disk is full or the file cannot be written; then none of the rows is in it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    with exclusive(path, waiting=lambda: None), _opened(path) as file:
        size = os.fstat(file).st_size
        if size == 0:
            writer.writerow(HEADER)
        writer.writerows([_guarded(value) for value in astuple(rating)] for rating in ratings)
        data = text.getvalue().encode()
        written = os.write(file, data)
        if written < len(data):  # the disk is full: half a row would make the file unreadable
            os.ftruncate(file, size)
            raise OSError(f"only {written} of {len(data)} bytes could be written")
        os.fsync(file)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor that writes to the end, without a buffer."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        yield file
    finally:
        os.close(file)


def read(path: Path) -> list[Rating]:
    """All rows, oldest first. InputError: it cannot be read, or a line is none of ours."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file, strict=True)
            if next(rows, None) != HEADER:
                raise InputError(f"{path}: its first line is not {','.join(HEADER)}")
            return [_parsed(path, rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: cannot be read ({reason})") from error


def _parsed(path: Path, line: int, row: list[str]) -> Rating:
    cells = [GUARDED.sub(r"\1", cell) for cell in row]
    if len(cells) != len(HEADER) or cells[6] not in (DRAFT, FINAL) or cells[5] not in map(str, range(101)):
        raise InputError(f"{path}: line {line} is not a rating")
    time, session, listener, clip, condition, score, state = cells
    return Rating(time, session, listener, clip, condition, int(score), state)


def _guarded(value: str | int) -> str | int:
    """What a spreadsheet would take for a formula gets an apostrophe in front, which `read` takes off again.

    Where decimals have a comma, a semicolon begins a cell, too; full-width signs count as well.
    """
    return FORMULA.sub(r"\1'", value) if isinstance(value, str) else value
