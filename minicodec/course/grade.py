"""Points for many students' notebooks: every submission in a process of its own, with fresh sizes and numbers.

A process that takes too long over an exercise is ended, the exercise gets no points, and another process goes on with
the next one. So an endless loop, a crash or an appetite for memory costs its author that exercise, and nobody else
anything.
"""

import csv
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from minicodec.course.catalogue import Exercise, all_exercises
from minicodec.course.submission import definitions, read
from minicodec.errors import InputError

Told = tuple[str, str, str]  # exercise, status, message


@dataclass(frozen=True)
class Grade:
    """What one exercise brought one student. status: right, wrong, unwritten, missing, crashed, too slow."""

    submission: str
    exercise: str
    chapter: int
    points: int
    maximum: int
    status: str
    message: str


def submissions(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Name of the submission -> its files. A folder's subfolders are one submission each, as are its loose files.

    InputError: there is none.
    """
    found: dict[str, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            for entry in sorted(path.iterdir()):
                files = sorted(f for f in entry.rglob("*") if _gradable(f)) if entry.is_dir() else [entry]
                if entry.is_dir() or _gradable(entry):
                    found[entry.stem] = files
        elif _gradable(path):
            found[path.stem] = [path]
        else:
            raise InputError(f"{path}: neither a notebook, nor a .py file, nor a folder of them")
    if not found:
        raise InputError(f"{' '.join(map(str, paths))}: no notebook and no .py file there")
    return found


def _gradable(path: Path) -> bool:
    return path.suffix in (".ipynb", ".py") and path.is_file() and ".ipynb_checkpoints" not in path.parts


def grade(
    name: str, files: Sequence[Path], exercises: Sequence[Exercise], *, seed: int, seconds: float, memory: int
) -> Iterator[Grade]:
    """The grades of one submission, in the order of the exercises.

    seconds: processor time for each exercise; memory: bytes of address space for the submission's process.
    """
    asked = {one.name for one in exercises}
    told: dict[str, tuple[str, str]] = {}
    for path in files:
        written = [n for n in _functions(path) if n in asked]
        for exercise, status, message in _judged(path, written, seed, seconds, memory):
            if told.get(exercise, ("unwritten", ""))[0] != "right":
                told[exercise] = status, message
    for one in exercises:
        status, message = told.get(one.name, ("missing", "no file defines it"))
        yield Grade(name, one.name, one.chapter, one.points if status == "right" else 0, one.points, status, message)


def _functions(path: Path) -> list[str]:
    """Names that a file defines, in order, once each; none if it is no Python."""
    try:
        body = definitions(read(path)).body
    except (SyntaxError, InputError):
        return []
    return list(dict.fromkeys(node.name for node in body if hasattr(node, "name")))


def _judged(path: Path, names: list[str], seed: int, seconds: float, memory: int) -> Iterator[Told]:
    """What there is to tell of each name, from as many processes as it takes."""
    while names:
        told = list(_one_process(path, names, seed, seconds, memory))
        yield from told
        names = names[len(told) :]


def _one_process(path: Path, names: list[str], seed: int, seconds: float, memory: int) -> Iterator[Told]:
    """What one process tells until it has done all or must be ended; then the exercise it was at gets the blame."""
    with TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "minicodec.course.submission",
             str(path.resolve()), str(seed), str(memory), str(seconds), *names],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, text=True, start_new_session=True,
        )  # fmt: skip
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        pump = threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True)
        pump.start()
        done, patience = 0, 60.0  # to import the library
        try:
            while done < len(names):
                try:
                    line = lines.get(timeout=patience)
                except queue.Empty:
                    yield names[done], "too slow", f"took more than {patience:.0f} s"
                    return
                if not line:  # its end, and not all was told
                    code = process.wait()
                    too_slow = code == -24  # SIGXCPU
                    words = f"took more than {seconds:.0f} s" if too_slow else f"its process ended with status {code}"
                    yield names[done], "too slow" if too_slow else "crashed", words
                    return
                fields = json.loads(line)
                patience = 2 * seconds + 5  # of processor time it has `seconds`; the rest is for sleepers
                if "ends" in fields:
                    done += 1
                    yield fields["ends"], fields["status"], fields["message"]
        finally:
            process.kill()
            process.wait()
            pump.join()
            process.stdout.close()


def _pump(stream: Iterable[str], lines: "queue.Queue[str]") -> None:
    """Lines to a queue, from which one can wait for them with a limit; an empty one at the end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def chosen(chapters: Sequence[int], variants: Sequence[str]) -> list[Exercise]:
    """The exercises of these chapters (none: all), or the variants that replace them. InputError: there is none."""
    table = all_exercises()
    for name in variants:
        if name not in table or table[name].variant_of is None:
            raise InputError(f"{name}: no exercise is a variant of that name")
    replaced = {table[name].variant_of: table[name] for name in variants}
    found = [
        replaced.get(one.name, one)
        for one in table.values()
        if one.variant_of is None and (not chapters or one.chapter in chapters)
    ]
    if not found:
        raise InputError(f"chapters {' '.join(map(str, chapters))} have no exercises")
    return found


def write_csv(grades: Sequence[Grade], path: Path) -> None:
    """A line per student and exercise."""
    with path.open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(["submission", "exercise", "chapter", "points", "maximum", "status", "message"])
        for g in grades:
            row = [g.submission, g.exercise, g.chapter, g.points, g.maximum, g.status, g.message]
            writer.writerow(["'" + c if isinstance(c, str) and c[:1] in "=+-@\t" else c for c in row])  # no formulas


def write_junit(grades: Sequence[Grade], path: Path) -> None:
    """JUnit's XML: a suite per student, a case per exercise."""
    root = ElementTree.Element("testsuites")
    for name in dict.fromkeys(g.submission for g in grades):
        mine = [g for g in grades if g.submission == name]
        failures = [g for g in mine if g.status != "right"]
        suite = ElementTree.SubElement(
            root, "testsuite", name=name, tests=str(len(mine)), failures=str(len(failures)), errors="0"
        )
        for g in mine:
            case = ElementTree.SubElement(suite, "testcase", classname=f"chapter {g.chapter}", name=g.exercise)
            if g.status != "right":
                text = "".join(c if c.isprintable() or c == "\n" else "?" for c in g.message)
                ElementTree.SubElement(case, "failure", message=g.status).text = text
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def write_gradescope(grades: Sequence[Grade], path: Path) -> None:
    """Gradescope's results.json for one student."""
    tests = [
        {"name": f"{g.chapter}. {g.exercise}", "score": g.points, "max_score": g.maximum, "output": g.message}
        for g in grades
    ]
    path.write_text(json.dumps({"score": sum(g.points for g in grades), "tests": tests}, indent=1), encoding="utf-8")
