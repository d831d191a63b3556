"""Which file becomes which: several files and folders, names that nobody gave, standard input and output.

IN                      beside it, under the name that the official command of EnCodec gives it
IN OUT                  OUT, a file
IN ... OUT/             into the folder OUT; files of a folder IN as they lie in it
FOLDER OUT              a corpus: corpus.py
-                       standard input, or output
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from minicodec.cli.text import count
from minicodec.console import one_line
from minicodec.errors import InputError
from minicodec.files import check_target

STREAM = "-"

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """What a command reads and writes.

    reads       suffixes of files that are looked for in folders, and what they are
    writes      suffixes of its files, the usual one first
    marks       those that no input has: a last argument with one is where to write
    ending      of the stem of a name that nobody gave
    """

    reads: Set[str]
    what: str
    writes: tuple[str, ...]
    marks: Set[str]
    ending: str = ""

    def name(self, source: Path) -> Path:
        """speech.wav -> speech.ecdc"""
        return source.with_name(source.stem + self.ending + self.writes[0])


@dataclass(frozen=True)
class Job:
    """A file to read and one to write; "-" is standard input or output."""

    source: Path
    target: Path

    @property
    def piped(self) -> bool:
        """To standard output?"""
        return str(self.target) == STREAM


def jobs(paths: Sequence[str], output: str | None, kind: Kind) -> list[Job]:
    """The jobs that a command line names. InputError: one that makes no sense."""
    paths, output = told_apart(paths, output, kind)
    sources = [pair for path in paths for pair in _expand(path, kind)]
    if output is None:
        found = [Job(path, Path(STREAM) if str(path) == STREAM else kind.name(path)) for path, _ in sources]
    elif output != STREAM and (output.endswith(os.sep) or os.path.isdir(output)):
        _make_folder(Path(output))
        named = [kind.name(Path("stdin") if str(path) == STREAM else inside) for path, inside in sources]
        found = [Job(path, Path(output, name)) for (path, _), name in zip(sources, named, strict=True)]
    elif len(sources) == 1:
        found = [Job(sources[0][0], Path(output))]
    else:
        raise InputError(f"{output}: is no folder, and {len(sources)} files go into a folder: write {output}{os.sep}")
    _check(found, kind)
    return found


def told_apart(paths: Sequence[str], output: str | None, kind: Kind) -> tuple[Sequence[str], str | None]:
    """What is to be read, and where to write if that is said."""
    *first, last = paths
    if output is None and first and _is_target(last, kind, alone=len(first) == 1):
        return first, last
    return paths, output


def folders(paths: Sequence[str], output: str | None, kind: Kind) -> tuple[Path, Path] | None:
    """(folder, folder) if one folder is to become another: a corpus [cli/corpus.py]. None: these are single files."""
    paths, output = told_apart(paths, output, kind)
    if len(paths) != 1 or not os.path.isdir(paths[0]) or not output or output == STREAM:
        return None
    named_so = os.path.isdir(output) or output.endswith(os.sep) or Path(output).suffix.lower() not in kind.writes
    return (Path(paths[0]), Path(output)) if named_so else None


def _is_target(last: str, kind: Kind, alone: bool) -> bool:
    """Is the last of several arguments where to write? `alone`: there is one other."""
    if last == STREAM or last.endswith(os.sep) or os.path.isdir(last):
        return True
    return Path(last).suffix.lower() in kind.marks or (alone and not os.path.exists(last))


def _expand(path: str, kind: Kind) -> Iterator[tuple[Path, Path]]:
    """(file, its place in the folder) of what an argument names."""
    if not path:
        raise InputError("an empty text names no file")
    if path == STREAM or not os.path.isdir(path):
        yield Path(path), Path(Path(path).name)
        return
    found = sorted(p for p in Path(path).rglob("*") if p.suffix.lower() in kind.reads and p.is_file())
    if not found:
        raise InputError(f"{path}: is a folder without {kind.what}")
    yield from ((file, file.relative_to(path)) for file in found)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be a folder ({error.strerror})") from None


def _check(found: Sequence[Job], kind: Kind) -> None:
    seen: dict[Path, Path] = {}
    for job in found:
        if job.piped:
            if sys.stdout.isatty():
                raise InputError("standard output is a terminal: name a file, or pipe it into something")
            continue
        if job.target.suffix.lower() not in kind.writes:
            raise InputError(f"{job.target}: {' or '.join(kind.writes)} is what the name of the output ends with")
        if (other := seen.setdefault(job.target, job.source)) is not job.source:
            raise InputError(f"{job.target}: both {other} and {job.source} would be written there")
        if len(found) > 1:
            _make_folder(job.target.parent)


def for_each(found: Sequence[Job], force: bool, work: Callable[[T, Job], None], begin: Callable[[], T]) -> int:
    """Work on all jobs; the exit status. Trouble with one of several is told, and the others go on.

    Before the first, all targets are tried: nothing is done for what cannot be written. Then `begin` makes, once,
    what `work` gets beside each job; its InputErrors end it all.
    """
    failed: list[Job] = []

    def attempt(job: Job, act: Callable[[Job], None]) -> None:
        try:
            with _named(job):
                act(job)
        except InputError as error:
            if len(found) == 1:
                raise
            print(f"minicodec: {one_line(error)}", file=sys.stderr)
            failed.append(job)

    for job in found:
        if not job.piped:
            attempt(job, lambda job: check_target(job.target, force))
    if left := [job for job in found if job not in failed]:
        made = begin()
        for job in left:
            attempt(job, lambda job: work(made, job))
    if failed:
        print(f"minicodec: {len(failed)} of {count(len(found), 'file')} failed", file=sys.stderr)
    return 2 if failed else 0


@contextmanager
def _named(job: Job) -> Iterator[None]:
    """An OSError in this block, but for that of a reader who has gone, becomes an InputError that names the job.

    Those of its target are InputErrors already; one without a name comes from a temporary file, or from stdout.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        where = error.filename or f"{tempfile.gettempdir()} or stdout"
        raise InputError(f"{job.source}: {where}: {error.strerror or error}") from error


@contextmanager
def opened(source: Path) -> Iterator[tuple[Path, str]]:
    """(file, name for messages) of a source. Standard input is collected in a temporary file: readers seek in it."""
    if str(source) != STREAM:
        yield source, str(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stdin"
        with open(path, "wb") as file:
            shutil.copyfileobj(standard_input(), file)
        try:
            yield path, "stdin"
        except InputError as error:
            raise InputError(str(error).replace(str(path), "stdin")) from None


def standard_input() -> BinaryIO:
    """The bytes of stdin. InputError: it is closed (by <&-, or without a console)."""
    if sys.stdin is None or getattr(sys.stdin, "closed", False):
        raise InputError("stdin: is closed")
    return sys.stdin.buffer
