"""A process that runs a student's code, as the grader sees it: bounded messages, an end that comes for certain."""

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from minicodec.course.messages import take

WARDEN = Path(__file__).with_name("warden.py")


class StudentProcess:
    """Used in a `with` block, at whose end nothing that the student's code has started is left.

    request: what minicodec.course.submission is to do, for json. OSError: the system starts no process.
    """

    def __init__(self, request: dict[str, Any]):
        self.folder = TemporaryDirectory(ignore_cleanup_errors=True)
        self.buffer = bytearray()
        library = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([library, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.messages, theirs = os.pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(WARDEN), str(theirs)], pass_fds=(theirs,), start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder.name,
                env=os.environ | {"PYTHONPATH": path},
            )  # fmt: skip
        except BaseException:
            os.close(self.messages)
            self.folder.cleanup()
            raise
        finally:
            os.close(theirs)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # if it has ended, `receive` says so
            self.process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self.process.stdin.flush()

    def receive(self, deadline: float) -> dict[str, Any] | None:
        """The next message; None when the process has ended.

        TimeoutError: the deadline (of time.monotonic) is over. ValueError: what came is no message.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self.messages, selectors.EVENT_READ)
            ended = False
            while True:
                message = take(self.buffer)
                if message is not None or ended:
                    return message
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                # Should a descendant survive, which then holds the pipe open: the warden's end counts, too.
                over = self.process.poll() is not None
                if selector.select(0 if over else min(left, 0.5)):
                    piece = os.read(self.messages, 1 << 16)
                    self.buffer += piece
                    ended = not piece
                else:
                    ended = over

    def status(self) -> int:
        """The exit status of a process that has ended; 128 + n if signal n ended it."""
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            return -1

    def __enter__(self) -> "StudentProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()  # the order to stop
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # something has stopped the warden
            self.process.kill()
            self.process.wait()
        os.close(self.messages)
        self.folder.cleanup()
