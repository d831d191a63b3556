"""Lines for people, on stderr where there is one: it is None without a console (pythonw), or may be closed."""

import sys
from contextlib import suppress

LONGEST = 1000  # characters of a message; names of files can have four times as many

def on_terminal() -> bool:
    """Is somebody looking at stderr in a terminal?"""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def say(line: str, end: str = "\n") -> None:
    """A line on stderr. That nobody can read it ends no long work."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # ValueError: it is closed
            print(line, end=end, file=sys.stderr, flush=True)


def one_line(text: object) -> str:
    """A message, which can hold the name of any file, without line breaks or control characters, and not too long."""
    line = "".join(c if c.isprintable() else "�" for c in str(text))
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"
