"""The readers' package my_codec: every part has its place in a file, and is the reader's own, or the library's.

The library's version of the package is minicodec/course/my_codec: plain files, whose functions and classes of the
exercises' names are the parts. A reader's copy has the same files. Where a part is not written yet, two lines let the
library's stand in; its text runs among the reader's own parts, under their names:

    # --- conv1d_forward (chapter 3): the library's, until check(conv1d_forward) finds yours right
    from minicodec.course.placing import stand_in

    stand_in("conv1d_forward", globals())
    # --- end of conv1d_forward

`check` puts a right answer there instead. All that lies between such places is the reader's to change.
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from minicodec.files import write_atomically

PACKAGE = "minicodec.course.my_codec"
SOURCES = Path(__file__).with_name("my_codec")
# In the order of the chapters; a file uses those before it.
FILES = ("tensor", "conv", "lstm", "seanet", "quantizer", "transform", "losses", "discriminator", "balancer", "train",
         "bits", "stream")  # fmt: skip
GIVEN = ("__init__", "weights", "__main__")
PLACE = re.compile(r"^# --- (\w+) \(chapter (\d+)\): (.*)\n((?:.*\n)*?)# --- end of \1$", re.MULTILINE)
YOURS = "yours"
STANDS_IN = """\
# --- {name} (chapter {chapter}): the library's, until check({name}) finds yours right
from minicodec.course.placing import stand_in

stand_in("{name}", globals())
# --- end of {name}"""


@dataclass(frozen=True)
class Part:
    """A function or class of the library's package: in which file, its text, and the lines that it takes there."""

    name: str
    file: str
    text: str
    first: int
    last: int


@cache
def parts() -> dict[str, Part]:
    """All functions and classes of the library's package, by name."""
    found = {}
    for file in FILES:
        text = (SOURCES / f"{file}.py").read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno is not None
                own = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                found[node.name] = Part(node.name, file, own, node.lineno, node.end_lineno)
    return found


def module_of(part: Part) -> ModuleType:
    """The library's module that has it."""
    return import_module(f"{PACKAGE}.{part.file}")


def stand_in(name: str, namespace: dict[str, Any]) -> None:
    """Define the library's part in a module of the reader's, so that it uses what that module has."""
    part = parts()[name]
    text = "\n" * (part.first - 1) + part.text  # with the line numbers that it has in the library
    exec(compile(text, str(SOURCES / f"{part.file}.py"), "exec"), namespace)


def first_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that returns y with something else, as one that returns y."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)[0]

    return run


def create(folder: Path, chapters: Mapping[str, int]) -> None:
    """Make a reader's package, or what is missing of it. chapters: of the exercises, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*FILES, *GIVEN):
        target = folder / f"{file}.py"
        if not target.exists():
            text = (SOURCES / f"{file}.py").read_text(encoding="utf-8")
            for part in sorted(parts().values(), key=lambda part: -part.first):
                if part.file == file and part.name in chapters:
                    lines = text.split("\n")
                    place = STANDS_IN.format(name=part.name, chapter=chapters[part.name])
                    lines[part.first - 1 : part.last] = place.split("\n")
                    text = "\n".join(lines)
            _write(target, text.replace(PACKAGE, folder.name))


def put(folder: Path, name: str, text: str) -> bool:
    """Write an answer to its place; False if the file has none for it any more."""
    target = folder / f"{parts()[name].file}.py"
    whole = target.read_text(encoding="utf-8")
    found = next((place for place in PLACE.finditer(whole) if place[1] == name), None)
    if found is None:
        return False
    block = f"# --- {name} (chapter {found[2]}): {YOURS}\n{text.strip()}\n# --- end of {name}"
    whole = whole[: found.start()] + block.replace(PACKAGE, folder.name) + whole[found.end() :]
    _write(target, whole)
    return True


def answers(folder: Path) -> dict[str, str]:
    """The reader's own parts, by name: their texts."""
    found: dict[str, str] = {}
    for file in FILES:
        path = folder / f"{file}.py"
        if path.is_file():
            places = PLACE.finditer(path.read_text(encoding="utf-8"))
            found |= {name: text for name, _, state, text in (place.groups() for place in places) if state == YOURS}
    return found


def missing(folder: Path) -> dict[str, int]:
    """The parts that the library stands in for, and the chapters that set them."""
    found: dict[str, int] = {}
    for file in FILES:
        places = PLACE.finditer((folder / f"{file}.py").read_text(encoding="utf-8"))
        found |= {place[1]: int(place[2]) for place in places if place[3] != YOURS}
    return found


def own_lines(path: Path) -> set[int]:
    """The numbers of the lines in a file that are the reader's."""
    text = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for place in PLACE.finditer(text):
        if place[3] == YOURS:
            first = text.count("\n", 0, place.start()) + 2
            lines |= set(range(first, first + place[4].count("\n")))
    return lines


def _write(path: Path, text: str) -> None:
    with write_atomically(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
