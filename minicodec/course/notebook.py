"""Which exercise to look at again when a cell of a notebook fails.

A chapter's later cells use what the reader has written before. If one of them fails, and such a function was used which
`check` has not found right, it is named, instead of an AssertionError or a page of numbers. Inside of IPython only, and
there from the first `@exercise` on.
"""

import sys
from typing import Any

_state: dict[str, str] = {}  # exercise -> what `check` last said of the reader's function
_used: dict[str, int] = {}  # exercise -> the last cell that called the reader's function
_cell = [0]
_watching: list[Any] = []


class LookAgainError(Exception):
    """A cell failed that needs an answer of the reader's which is not known to be right."""


def written(name: str) -> None:
    """The reader's function for this exercise was defined."""
    _state[name] = "has not been checked"
    _watch()


def judged(name: str, right: bool) -> None:
    """`check` has judged it."""
    _state[name] = "" if right else "was found wrong"


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
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
    if words:
        print(words)
