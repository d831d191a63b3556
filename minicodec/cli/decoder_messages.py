"""What a library in C prints on standard error while we use it: collected, for us to say it in our own words.

libmpg123, which reads MP3 for libsndfile, prints a line for each flaw of a file.
"""

import io
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

OF_MPG123 = re.compile(rb"\s*$|(Note|Warning): |\[src/libmpg123/")  # how its lines begin


@contextmanager
def collected() -> Iterator[list[str]]:
    """A list that has the lines once the block has ended. Python's own sys.stderr goes on as it was."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        with _stderr_to(file.fileno()):
            yield lines
        file.seek(0)
        lines += file.read(1 << 16).decode(errors="replace").splitlines()


@contextmanager
def left_out() -> Iterator[None]:
    """In this block libmpg123's lines are thrown away. For long work: what else arrives there goes on at once."""
    read, write = os.pipe()
    with ExitStack() as after, _stderr_to(write) as stderr:
        os.close(write)
        thread = threading.Thread(target=_pass_on, args=(read, os.dup(stderr)), daemon=True)
        thread.start()
        after.callback(thread.join, timeout=1)  # until all that write there have ended
        yield


def _pass_on(read: int, stderr: int) -> None:
    """Both descriptors are closed at the end, which may come after that of the block."""
    with open(read, "rb") as lines, open(stderr, "wb", buffering=0) as out:
        for line in lines:
            if not OF_MPG123.match(line):
                out.write(line)


@contextmanager
def _stderr_to(descriptor: int) -> Iterator[int]:
    """Descriptor 2 leads there in this block, but not Python's sys.stderr. What it led to before is yielded."""
    python_stderr = sys.stderr
    python_stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # closed: then nobody sees anything
        saved = os.open(os.devnull, os.O_WRONLY)
    try:
        if _descriptor(python_stderr) == 2:
            sys.stderr = os.fdopen(os.dup(saved), "w", buffering=1, errors="replace")
        os.dup2(descriptor, 2)
        yield saved
    finally:
        if sys.stderr is not python_stderr:
            sys.stderr.close()
            sys.stderr = python_stderr
        os.dup2(saved, 2)
        os.close(saved)


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, io.UnsupportedOperation):
        return None
