"""How much of a program is the reader's own? Watch which lines run, and look up whose they are."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import minicodec
from minicodec.course.placing import own_lines

LIBRARY = str(Path(minicodec.__file__).parent)


class Share(NamedTuple):
    """Lines that ran, each counted once: the reader's, and all in the reader's package and in minicodec."""

    own: int
    all: int

    def __str__(self) -> str:
        return f"{self.own} of {self.all} lines that ran are yours ({self.own / max(self.all, 1):.0%})"


def watched(function: Callable[[], Any], package: Path) -> tuple[Any, Share]:
    """Call a function: what it returned, and whose lines it ran. package: the folder of the reader's."""
    folder, ran = str(package.resolve()), set[tuple[str, int]]()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            ran.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        return line if name.startswith((folder, LIBRARY)) and name != __file__ else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        result = function()
    finally:
        sys.settrace(before)
    own = {(str(path.resolve()), n) for path in package.glob("*.py") for n in own_lines(path)}
    return result, Share(len(ran & own), len(ran))
