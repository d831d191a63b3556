"""What a library in C prints on standard error while we use it: collected, for us to say it in our own words.

libmpg123, which reads MP3 for libsndfile, prints a line for each flaw of a file.
"""

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected() -> Iterator[list[str]]:
    """A list that has the lines once the block has ended. Python's own sys.stderr goes on as it was."""
    lines: list[str] = []
    python_stderr = sys.stderr
    python_stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # closed: then nobody sees anything
        yield lines
        return
    with tempfile.TemporaryFile() as file:
        try:
            if _descriptor(python_stderr) == 2:
                sys.stderr = os.fdopen(os.dup(saved), "w", buffering=1, errors="replace")
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            if sys.stderr is not python_stderr:
                sys.stderr.close()
                sys.stderr = python_stderr
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        lines += file.read(1 << 16).decode(errors="replace").splitlines()


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, io.UnsupportedOperation):
        return None
