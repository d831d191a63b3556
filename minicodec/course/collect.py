"""Who has handed in what: names of submissions, and their files. Nobody is lost, and no two become one."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minicodec.course.messages import clean
from minicodec.errors import InputError

SUFFIXES = (".ipynb", ".py")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
SKIPPED = {"__MACOSX", "__pycache__", "node_modules", "site-packages"}  # folders in which nobody writes answers
MOST_FILES = 200


@dataclass(frozen=True)
class Submission:
    """One student's. beside: its files may import each other; note: why there is nothing to grade, or not all of it."""

    name: str
    files: tuple[Path, ...]
    beside: bool = False
    note: str = ""


def submissions(paths: Iterable[Path], leave_out: Sequence[Path] = ()) -> tuple[list[Submission], list[Path]]:
    """All submissions, and the files that are none. A folder's subfolders are one each, as are its loose files.

    leave_out: paths that are not the students', such as grades of an earlier run. InputError: there is no submission.
    """
    given = list(paths)
    out = {path.resolve() for path in leave_out}
    found: dict[Path, Submission] = {}
    others = []
    for path in given:
        if path.is_dir():
            try:
                entries = sorted(path.iterdir())
            except OSError as error:
                raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        elif path.suffix in SUFFIXES and path.is_file():
            entries = [path]
        else:
            raise InputError(f"{path}: neither a notebook, nor a .py file, nor a folder of them")
        for entry in entries:
            if _hidden(entry.name) or entry.resolve() in out:
                continue
            if entry.is_dir():
                files, note = _files(entry)
                found[entry.absolute()] = Submission(entry.name, tuple(files), beside=True, note=note)
            elif entry.suffix in SUFFIXES + ARCHIVES:
                gradable = entry.suffix in SUFFIXES and entry.is_file()
                note = "" if gradable else f"{clean(entry.name)} is neither a notebook nor a .py file"
                found[entry.absolute()] = Submission(entry.name, (entry,) if gradable else (), note=note)
            else:
                others.append(entry)
    if not found:
        raise InputError(f"{' '.join(map(str, given))}: no notebook and no .py file there")
    names = _names(list(found))
    return [Submission(names[path], one.files, one.beside, one.note) for path, one in found.items()], others


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in SKIPPED


def _files(folder: Path) -> tuple[list[Path], str]:
    """Its notebooks and .py files, and a note if some of it cannot be had."""
    notes: list[str] = []
    files = []
    for place, folders, names in os.walk(folder, onerror=lambda error: notes.append(str(error.strerror))):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        files += [Path(place, n) for n in sorted(names) if Path(n).suffix in SUFFIXES and not _hidden(n)]
    files = [path for path in files if os.path.isfile(path)]  # unlike Path's, it raises nothing
    if len(files) > MOST_FILES:
        notes.append(f"{len(files)} files: only the first {MOST_FILES} were read")
    if not files:
        notes.append("there is no notebook and no .py file in the folder")
    return files[:MOST_FILES], "; ".join(notes)


def _names(paths: list[Path]) -> dict[Path, str]:
    """A name for each, as short as it can be while no two are the same, even if a system ignores their case."""
    names: dict[Path, str] = {}
    left = paths
    for name in (_stem, lambda path: path.name, lambda path: f"{path.parent.name}/{path.name}"):
        proposed = {path: clean(os.fsencode(name(path)).decode("utf-8", "backslashreplace")) for path in left}
        times = Counter(words.casefold() for words in proposed.values())
        taken = {words.casefold() for words in names.values()}
        fits = {p: n for p, n in proposed.items() if times[n.casefold()] == 1 and n.casefold() not in taken}
        names |= fits
        left = [path for path in left if path not in fits]
    for number, path in enumerate(left, 1):
        names[path] = f"{proposed[path]} ({number})"
    return names


def _stem(path: Path) -> str:
    return path.name if path.is_dir() else path.stem
