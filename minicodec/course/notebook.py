"""Which exercise to look at again when a cell of a notebook fails, or another exercise that calls it.

A chapter's later cells use what the reader has written before. If one of them fails, and such a function was used which
`check` has not found right, it is named, instead of an AssertionError or a page of numbers. Inside of IPython only, and
there from the first `@exercise` on.
"""

import inspect
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIBRARY = str(Path(__file__).parents[1])
_state: dict[str, str] = {}  # exercise -> what `check` last said of the reader's function
_written: dict[str, Any] = {}  # exercise -> what stands for it in the notebook
_used: dict[str, int] = {}  # exercise -> the last cell that called the reader's function
_cell = [0]
_watching: list[Any] = []


class LookAgainError(Exception):
    """A cell failed that needs an answer of the reader's which is not known to be right."""


def written(name: str, answer: Any) -> None:
    """The reader's function or class for this exercise was defined."""
    _state[name], _written[name] = "has not been checked", answer
    _watch()


def judged(name: str, status: str) -> None:
    """`check` has judged it: right, wrong or unwritten."""
    _state[name] = "was found wrong" if status == "wrong" else ""


def wrong_below(answer: Any) -> list[str]:
    """The exercises that an answer calls, and whose own answers were found wrong."""
    methods = [f for f in vars(answer).values() if inspect.isfunction(f)] if inspect.isclass(answer) else [answer]
    names = {name for f in methods if hasattr(f, "__code__") for name in _names(f.__code__)}
    around = getattr(methods[0], "__globals__", {}) if methods else {}
    return [name for name in sorted(names & _written.keys())
            if _state[name] == "was found wrong" and around.get(name) is _written[name]]  # fmt: skip


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that a function looks up outside, and those of the functions inside of it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def used(name: str) -> None:
    """It was called, and did not say that it is yet to be written."""
    _used[name] = _cell[0]


def look_again() -> str:
    """Which exercises to look at again, in words; empty if all that were used are right."""
    doubtful = [name for name in _used if _state.get(name)]
    now = [name for name in doubtful if _used[name] == _cell[0]]
    names = now or doubtful
    if not names:
        return ""
    whose = "This cell calls" if now else "Cells before this one called"
    told = ", ".join(f"{name} (which {_state[name]})" for name in names)
    return f"{whose} what you wrote for {told}. Look at that exercise again: check({names[0]}) says more."


def _watch() -> None:
    """Ask IPython, if it runs this, to tell us of cells that begin and of those that fail."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or shell in _watching:
        return
    _watching.append(shell)
    shell.events.register("pre_run_cell", _begin)
    shell.set_custom_exc((Exception,), _explain)


def _begin(*_: Any) -> None:
    _cell[0] += 1


def _explain(shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None) -> None:
    """Show an error as IPython would; or, of an assertion that a doubtful answer may have broken, which answer."""
    words = look_again()
    if words and issubclass(kind, AssertionError):
        short = LookAgainError(words)
        shell.showtraceback((LookAgainError, short, None))
        return
    shell.showtraceback((kind, error, _without_the_library(trace) if words else trace), tb_offset=tb_offset)
    if words:
        print(words)


def _without_the_library(trace: Any) -> Any:
    """The part of a traceback that is the reader's own: the mistake is not where the library's lines are."""
    steps = []
    while trace:
        steps.append(trace)
        trace = trace.tb_next
    short = None
    for step in reversed(steps):
        if not step.tb_frame.f_code.co_filename.startswith(LIBRARY):
            short = types.TracebackType(short, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return short
