"""stderr, where there is one: an application without a console has none (pythonw), others have closed it."""

import sys
from contextlib import suppress


def on_terminal() -> bool:
    """Is somebody looking at stderr in a terminal?"""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def say(line: str, end: str = "\n") -> None:
    """A line on stderr. That nobody can read it ends no long work."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            print(line, end=end, file=sys.stderr, flush=True)
